//! Starting noded again where no service manager does.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::msg::Restart;
use crate::os::pidfd;

/// The first wait.
const FIRST: Duration = Duration::from_millis(50);
/// The longest.
const MAX: Duration = Duration::from_secs(5);

/// So many starts in vain, and a spawner that has no steps does not stay for more.
const TRIES_MAX: u32 = 10;

/// When and how noded is started again.
#[derive(Debug)]
pub(super) struct Restarter {
    command: Option<Restart>,
    at: Option<Instant>,
    wait: Duration,
    /// The noded that was started last. By descriptor: the spawner reaps everything, so a stored
    /// pid may be a step's by now.
    last: Option<OwnedFd>,
    met: bool,
    /// Starts since one last said hello.
    tries: u32,
}

impl Default for Restarter {
    fn default() -> Self {
        Self { command: None, at: None, wait: FIRST, last: None, met: false, tries: 0 }
    }
}

impl Restarter {
    /// noded has introduced itself: it works, so the next wait is the first again.
    pub(super) fn met(&mut self, command: Option<Restart>) {
        self.command = command;
        self.wait = FIRST;
        self.at = None;
        self.met = true;
        self.tries = 0;
    }

    /// Whether any noded has ever come.
    pub(super) fn was_met(&self) -> bool {
        self.met
    }

    /// Somebody has connected, whether or not it comes to a hello.
    pub(super) fn seen(&mut self) {
        self.met = true;
    }

    /// Whether a noded may still come of being started again.
    pub(super) fn has_hope(&self) -> bool {
        self.command.is_some() && self.tries < TRIES_MAX
    }

    /// Whoever starts noded next, it is not this.
    pub(super) fn disarm(&mut self) {
        self.command = None;
        self.at = None;
    }

    /// noded is gone.
    pub(super) fn lost(&mut self, now: Instant) {
        if self.command.is_some() {
            self.at = Some(now + self.wait);
        }
    }

    /// How long until there is something to do.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(now))
    }

    /// Starts noded if it is time, and looks after one that was started.
    pub(super) fn run(&mut self, now: Instant, connected: bool) {
        if connected || self.at.is_none_or(|at| at > now) {
            return;
        }
        let Some(restart) = &self.command else { return };
        self.wait = (self.wait * 2).min(MAX);
        // Should this one end before it says hello, the next try comes by itself.
        self.at = Some(now + self.wait);
        if self.last.as_ref().is_some_and(|fd| !pidfd::has_ended(fd)) {
            return;
        }
        self.tries = self.tries.saturating_add(1);
        let started = Command::new(&restart.exe).args(&restart.args).stdin(Stdio::null()).spawn();
        match started {
            Ok(child) => {
                self.last = i32::try_from(child.id()).ok().and_then(|pid| pidfd::open(pid).ok());
            }
            Err(error) => super::say(&format!(
                "a2arun-spawner: cannot start {} again: {error}",
                restart.exe.display()
            )),
        }
    }
}
