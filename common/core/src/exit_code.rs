//! The exit codes of `a2arun` (DESIGN §3): documented, tested, one mapping.

use crate::launch::SignalNumber;
use crate::outcome::ExitRecord;

/// What the launcher itself ends with, apart from an agent's own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LauncherCode {
    /// All as wanted.
    Ok,
    /// `query`: the agent answered with an error, or its task did not come to a good end.
    AgentFailed,
    /// The command line is wrong.
    Usage,
    /// The job file or hostfile is wrong.
    InvalidJob,
    /// A host cannot be reached, or was lost.
    HostUnreachable,
    /// Something that should not happen.
    Internal,
    /// It does not fit: slots, ports, descriptors.
    Capacity,
    /// An agent was not ready in time.
    NotReady,
    /// Refused: certificate, role, uid.
    Refused,
    /// `--timeout` is over.
    TimedOut,
    /// Ctrl-C.
    Interrupted,
    /// TERM or HUP.
    Terminated,
}

impl LauncherCode {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::AgentFailed => 1,
            Self::Usage => 64,
            Self::InvalidJob => 65,
            Self::HostUnreachable => 68,
            Self::Internal => 70,
            Self::Capacity => 71,
            Self::NotReady => 75,
            Self::Refused => 77,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// The code of an agent that failed: its own, 128 + signal, or the launcher's where it has none.
pub fn of_failure(exit: &ExitRecord) -> u8 {
    use crate::outcome::ExitReason as R;
    match exit.reason {
        R::StartTimeout => return LauncherCode::NotReady.code(),
        R::HostLost => return LauncherCode::HostUnreachable.code(),
        // What a shell says: 127 not found, 126 found but not executable.
        R::SpawnFailed => return spawn_failed_code(exit),
        R::Completed
        | R::Failed
        | R::Signaled
        | R::Oom
        | R::Stopped
        | R::GraceKilled
        | R::LivenessFailed
        | R::ExitedBeforeReady
        | R::Exhausted
        | R::Unknown => {}
    }
    match (exit.code, exit.signal) {
        // A service that says 0 before it was ready has still failed.
        (Some(0), _) => LauncherCode::NotReady.code(),
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        (None, Some(SignalNumber(signal))) => {
            u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX)
        }
        (None, None) => LauncherCode::Internal.code(),
    }
}

fn spawn_failed_code(exit: &ExitRecord) -> u8 {
    exit.code.and_then(|c| u8::try_from(c).ok()).unwrap_or(LauncherCode::Internal.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{ExitReason, ExitRecord};

    fn record(reason: ExitReason, code: Option<i32>, signal: Option<i32>) -> ExitRecord {
        ExitRecord {
            reason,
            code,
            signal: signal.map(SignalNumber),
            ..ExitRecord::spawn_failed(String::new(), jiff::Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn failures_map_as_a_shell_would() {
        assert_eq!(of_failure(&record(ExitReason::Failed, Some(3), None)), 3);
        assert_eq!(of_failure(&record(ExitReason::Signaled, None, Some(11))), 139);
        assert_eq!(of_failure(&record(ExitReason::SpawnFailed, Some(127), None)), 127);
        assert_eq!(of_failure(&record(ExitReason::ExitedBeforeReady, Some(0), None)), 75);
        assert_eq!(of_failure(&record(ExitReason::StartTimeout, None, Some(15))), 75);
        assert_eq!(of_failure(&record(ExitReason::Unknown, None, None)), 70);
    }
}
