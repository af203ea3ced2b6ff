//! The agent and everything below it: who is there, and how each is signalled without ever
//! trusting a bare pid.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use a2arun_core::launch::SignalNumber;
use a2arun_core::outcome::Survivor;

use crate::ledger::InstanceDir;
use crate::os::{pidfd, proc};

/// How the members of the tree are known.
#[derive(Debug)]
pub(super) enum Members {
    /// They are below this process, which is their subreaper.
    BelowUs,
    /// They carry this variable: the agent was taken over, and fell to the spawner.
    Marked(String),
}

/// The agent's process.
#[derive(Debug)]
pub(super) struct Leader {
    /// Its pid: pinned until it is reaped, and then not used any more.
    pub pid: i32,
    /// The same as a descriptor; `None` where it was gone before this step came.
    pub pidfd: Option<OwnedFd>,
    /// Whether it was reaped.
    pub reaped: bool,
}

impl Members {
    fn pids(&self) -> Vec<i32> {
        match self {
            Self::BelowUs => proc::descendants(own_pid()),
            Self::Marked(variable) => {
                let me = own_pid();
                proc::all_pids()
                    .into_iter()
                    .filter(|pid| *pid != me && proc::has_variable(*pid, variable))
                    .collect()
            }
        }
    }

    /// Opens a member by pid and makes sure that it still is one.
    fn open(&self, pid: i32) -> Option<OwnedFd> {
        let before = proc::identity(pid).ok()?;
        let fd = pidfd::open(pid).ok()?;
        // The descriptor is for whoever has the number now: the same process only if the start
        // time is the same, and alive only if it has not ended.
        let after = proc::identity(pid).ok()?;
        let same = before.start_ticks == after.start_ticks && after.state != b'Z';
        let member = match self {
            Self::BelowUs => proc::descendants(own_pid()).contains(&pid),
            Self::Marked(variable) => proc::has_variable(pid, variable),
        };
        (same && member).then_some(fd)
    }

    /// Signals everybody: the group through its leader while that pins the number, and each
    /// other member by its own descriptor.
    pub(super) fn signal(&self, leader: &Leader, signal: SignalNumber) {
        let group_pinned = matches!(self, Self::BelowUs) && !leader.reaped;
        if group_pinned {
            let _ = pidfd::signal_group(leader.pid, signal);
        } else if let (false, Some(pidfd)) = (leader.reaped, &leader.pidfd) {
            let _ = pidfd::signal(pidfd.as_fd(), signal);
        }
        for pid in self.pids() {
            if pid == leader.pid && !leader.reaped {
                continue;
            }
            let in_group = proc::identity(pid).is_ok_and(|i| i.pgid == leader.pid);
            if group_pinned && in_group {
                continue;
            }
            if let Some(fd) = self.open(pid) {
                let _ = pidfd::signal(&fd, signal);
            }
        }
    }

    /// Who is still alive, by name; zombies are not.
    pub(super) fn survivors(&self) -> Vec<Survivor> {
        self.pids()
            .into_iter()
            .filter(|pid| proc::identity(*pid).is_ok_and(|i| i.state != b'Z'))
            .map(|pid| Survivor { pid, comm: proc::comm(pid) })
            .collect()
    }

    /// Whether anybody is left, for members that are known by their mark.
    pub(super) fn is_empty(&self) -> bool {
        self.survivors().is_empty()
    }
}

/// The variable that every process of an instance was started with.
pub(super) fn mark(instance_dir: &Path) -> String {
    format!("A2ARUN_RUN_DIR={}", instance_dir.display())
}

/// Ends every process that carries an instance's mark.
pub(super) fn end_marked(dir: &InstanceDir) {
    let members = Members::Marked(mark(dir.path()));
    for pid in members.pids() {
        if let Some(fd) = members.open(pid) {
            let _ = pidfd::signal(&fd, SignalNumber::KILL);
        }
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
