//! The two threads that write to stdout and stderr. Writing blocks when the reader is slow, so
//! nothing else is done there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{mpsc, oneshot};

use crate::output::data::say;

/// Buffers that wait for a thread: some 64 KiB each where there is much to write.
const BUFFERS_DEPTH: usize = 32;
/// Small buffers are written together up to about this size.
const GATHER_BYTES: usize = 256 * 1024;

/// Ways in; cheap to clone. The threads end when all are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Sinks {
    pub(crate) stdout: mpsc::Sender<Vec<u8>>,
    pub(crate) stderr: mpsc::Sender<Vec<u8>>,
    gone: Arc<AtomicBool>,
}

impl Sinks {
    /// Whether stdout has no reader any more: what is written there is dropped.
    pub(crate) fn stdout_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// The threads. Each says how it ended.
#[derive(Debug)]
pub(crate) struct Printer {
    ended: [oneshot::Receiver<Written>; 2],
}

/// What became of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Its reader has it, or did not want it.
    All,
    /// Some is lost, and the user was told why.
    Partly,
}

impl Printer {
    /// Starts both.
    ///
    /// # Errors
    /// When a descriptor cannot be duplicated or a thread cannot be started.
    pub(crate) fn start() -> io::Result<(Self, Sinks)> {
        let gone = Arc::new(AtomicBool::new(false));
        // Not `io::stdout()`: its buffer looks for line ends in what is whole lines already.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let err = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (stdout, out_ended) = start("stdout", out, gone.clone())?;
        let (stderr, err_ended) = start("stderr", err, Arc::default())?;
        let printer = Self { ended: [out_ended, err_ended] };
        Ok((printer, Sinks { stdout, stderr, gone }))
    }

    /// Waits until everything is written. Every [`Sinks`] must be dropped before.
    ///
    /// # Cancel safety
    /// Safe to drop: the threads go on writing until the process ends.
    pub(crate) async fn drain(self) -> Written {
        let mut all = Written::All;
        for ended in self.ended {
            // A thread that panicked has written what it could.
            if ended.await != Ok(Written::All) {
                all = Written::Partly;
            }
        }
        all
    }
}

fn start(
    name: &str,
    file: File,
    gone: Arc<AtomicBool>,
) -> io::Result<(mpsc::Sender<Vec<u8>>, oneshot::Receiver<Written>)> {
    let (sender, receiver) = mpsc::channel(BUFFERS_DEPTH);
    let (end, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let name = name.to_owned();
    thread.spawn(move || {
        // Nobody may be waiting any more.
        let _ = end.send(write_all(&name, receiver, &file, &gone));
    })?;
    Ok((sender, ended))
}

fn write_all(
    name: &str,
    mut buffers: mpsc::Receiver<Vec<u8>>,
    mut file: &File,
    gone: &AtomicBool,
) -> Written {
    let mut written = Written::All;
    while let Some(mut buffer) = buffers.blocking_recv() {
        while buffer.len() < GATHER_BYTES {
            match buffers.try_recv() {
                Ok(more) => buffer.extend_from_slice(&more),
                Err(_) => break,
            }
        }
        // What nobody can have any more must not stop the job; the rest is dropped.
        if gone.load(Ordering::Relaxed) {
            continue;
        }
        if let Err(error) = write_buffer(&mut file, &buffer) {
            gone.store(true, Ordering::Relaxed);
            // A reader that went away has what it wanted.
            if error.kind() != io::ErrorKind::BrokenPipe {
                say(&format!("error: cannot write to {name}: {error}; the job goes on without it"));
                written = Written::Partly;
            }
        }
    }
    written
}

/// All of it, also where somebody has made the descriptor non-blocking: it is shared with
/// whoever has the same terminal.
fn write_buffer(file: &mut &File, mut buffer: &[u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.write(buffer) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => buffer = &buffer[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut ready = [PollFd::new(*file, PollFlags::OUT)];
                match poll(&mut ready, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_pipe_that_does_not_block_gets_everything() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let wanted = vec![7; 1 << 20];
        let sent = wanted.clone();
        let thread = std::thread::spawn(move || write_buffer(&mut &file, &sent));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        thread.join().unwrap().unwrap();
        assert_eq!(read.len(), wanted.len());
    }
}
