//! Ctrl-C, TERM and HUP as stop requests.

use std::io;

use a2arun_core::machine::job::StopBy;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a job.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None`: it was ignored when we were started (nohup), and stays so.
    hangup: Option<Signal>,
}

/// Begins to listen. `status` is the text of `/proc/self/status`.
///
/// # Errors
/// When the handlers cannot be set.
pub(crate) fn listen(status: &str) -> io::Result<Signals> {
    let hangup = if ignored(status, SignalKind::hangup().as_raw_value()) {
        None
    } else {
        Some(signal(SignalKind::hangup())?)
    };
    Ok(Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hangup,
    })
}

impl Signals {
    /// The next one.
    ///
    /// # Cancel safety
    /// Safe: a signal that was not given is given the next time.
    pub(crate) async fn next(&mut self) -> StopBy {
        let hangup = &mut self.hangup;
        tokio::select! {
            _ = self.interrupt.recv() => StopBy::Interrupt,
            _ = self.terminate.recv() => StopBy::Terminate,
            _ = async {
                match hangup { Some(h) => h.recv().await, None => std::future::pending().await }
            } => StopBy::Terminate,
        }
    }
}

/// Whether `SigIgn` of proc_pid_status(5) has the bit of a signal.
fn ignored(status: &str, number: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    (1..=64).contains(&number) && mask >> (number - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\n";
        assert!(ignored(status, 1) && ignored(status, 13));
        assert!(!ignored(status, 2) && !ignored("", 1));
    }
}
