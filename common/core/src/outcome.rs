//! Why an instance ended: one list for core, wire and JSON (DESIGN §7).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::launch::SignalNumber;

/// The reason in an exit record. Unknown is counted and shown, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// Exited with 0.
    Completed,
    /// Exited with another code.
    Failed,
    /// Ended by a signal that a2arun did not send.
    Signaled,
    /// Ended by the kernel's out-of-memory killer.
    Oom,
    /// Ended within its grace after a2arun asked it to stop.
    Stopped,
    /// Killed by a2arun when its grace was over.
    GraceKilled,
    /// Stopped because its liveness probe failed.
    LivenessFailed,
    /// Stopped because it was not ready in time.
    StartTimeout,
    /// Never ran: exec or its preparation failed.
    SpawnFailed,
    /// A service that ended before it was ready.
    ExitedBeforeReady,
    /// Ended and its restarts are used up.
    Exhausted,
    /// Its host is gone.
    HostLost,
    /// It ended and nobody could learn how.
    Unknown,
}

impl ExitReason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 13] = [
        Self::Completed,
        Self::Failed,
        Self::Signaled,
        Self::Oom,
        Self::Stopped,
        Self::GraceKilled,
        Self::LivenessFailed,
        Self::StartTimeout,
        Self::SpawnFailed,
        Self::ExitedBeforeReady,
        Self::Exhausted,
        Self::HostLost,
        Self::Unknown,
    ];

    /// The word on the wire and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Signaled => "signaled",
            Self::Oom => "oom",
            Self::Stopped => "stopped",
            Self::GraceKilled => "grace-killed",
            Self::LivenessFailed => "liveness-failed",
            Self::StartTimeout => "start-timeout",
            Self::SpawnFailed => "spawn-failed",
            Self::ExitedBeforeReady => "exited-before-ready",
            Self::Exhausted => "exhausted",
            Self::HostLost => "host-lost",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the end was not as wanted: it counts as a failure of the agent.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Completed | Self::Stopped | Self::GraceKilled => false,
            Self::Failed
            | Self::Signaled
            | Self::Oom
            | Self::LivenessFailed
            | Self::StartTimeout
            | Self::SpawnFailed
            | Self::ExitedBeforeReady
            | Self::Exhausted
            | Self::HostLost
            | Self::Unknown => true,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the kernel says that a process ended (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitStatus {
    /// `_exit(code)`.
    Exited(i32),
    /// Ended by a signal.
    Signaled(SignalNumber),
    /// It ended; its parent was gone and the kernel does not tell others.
    Unknown,
}

impl WaitStatus {
    /// From the raw status word of wait(2).
    pub fn from_raw(raw: i32) -> Self {
        let signal = raw & 0x7f;
        if signal == 0 {
            Self::Exited((raw >> 8) & 0xff)
        } else {
            Self::Signaled(SignalNumber(signal))
        }
    }
}

/// Who asked for the end, if anybody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// The user: Ctrl-C, TERM, `a2arun stop`.
    User,
    /// The job is over: complete, failed elsewhere, or rolled back.
    Job,
    /// Not ready before its deadline.
    StartTimeout,
    /// The head is gone.
    HeadGone,
    /// noded was away for longer than the orphan limit.
    NodedGone,
    /// The wall time of the job is over.
    WallTime,
}

/// How sure it is that nothing of the instance's tree is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The step, their subreaper, waited until it had no child left (ECHILD).
    Reaped,
    /// Found empty by cgroup or environment marker, after a step was replaced.
    Weak,
    /// Survivors are listed.
    Survivors,
}

/// A process that outlived the stop, named for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survivor {
    /// Its pid.
    pub pid: i32,
    /// Its command name.
    pub comm: String,
}

/// The end of one incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Why.
    pub reason: ExitReason,
    /// The exit code, where it exited.
    pub code: Option<i32>,
    /// The signal, where one ended it.
    pub signal: Option<SignalNumber>,
    /// Who asked for it.
    pub asked_by: Option<StopCause>,
    /// For people: errno and what failed, or the deadline that passed.
    pub detail: Option<String>,
    /// When it was spawned; `None` where it never was.
    pub started: Option<Timestamp>,
    /// When it became ready.
    pub ready: Option<Timestamp>,
    /// When its end was seen.
    pub ended: Timestamp,
    /// Peak resident set in bytes (getrusage(2)); `None` where another process reaped it.
    pub max_rss_bytes: Option<u64>,
    /// Bytes of standard output on disk.
    pub stdout_bytes: u64,
    /// Bytes of standard error on disk.
    pub stderr_bytes: u64,
    /// Bytes of output that were dropped because the disk was full.
    pub dropped_bytes: u64,
    /// What is known about leftovers.
    pub proof: Proof,
    /// Processes that are still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub survivors: Vec<Survivor>,
}

impl ExitRecord {
    /// A record of something that never ran.
    pub fn spawn_failed(detail: String, now: Timestamp) -> Self {
        Self {
            reason: ExitReason::SpawnFailed,
            code: None,
            signal: None,
            asked_by: None,
            detail: Some(detail),
            started: None,
            ready: None,
            ended: now,
            max_rss_bytes: None,
            stdout_bytes: 0,
            stderr_bytes: 0,
            dropped_bytes: 0,
            proof: Proof::Reaped,
            survivors: Vec::new(),
        }
    }

    /// How long it ran.
    pub fn ran_for(&self) -> Option<Duration> {
        self.started.and_then(|s| Duration::try_from(self.ended.duration_since(s)).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_spelt_once() {
        for reason in ExitReason::ALL {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{reason}\""));
        }
    }

    #[test]
    fn wait_statuses_are_read_as_wait_2_says() {
        assert_eq!(WaitStatus::from_raw(0x2a00), WaitStatus::Exited(42));
        assert_eq!(WaitStatus::from_raw(9), WaitStatus::Signaled(SignalNumber::KILL));
        assert_eq!(WaitStatus::from_raw(0x80 | 11), WaitStatus::Signaled(SignalNumber(11)));
    }
}
