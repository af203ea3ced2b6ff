//! The spawner: one per noded's state folder. It forks every step, outlives noded, keeps the
//! reading ends of all output as a second guard, reaps what falls to it, and starts noded again.
//!
//! One thread, a poll loop, std only; it must not know tokio, gRPC or the network. It decides
//! nothing about agents: noded asks, steps do.

mod restart;
mod steps;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::msg::{InstanceKey, SpawnerCommand, SpawnerMessage};
use crate::os::fork::exit_now;
use crate::os::seqpacket::{self, MESSAGE_MAX_BYTES, Received};
use crate::os::signals;
use restart::Restarter;
use steps::Steps;

/// So many keys fit into one message for certain.
const KEYS_A_MESSAGE: usize = 256;

#[derive(Debug)]
struct Spawner {
    listener: OwnedFd,
    noded: Option<OwnedFd>,
    restarter: Restarter,
    steps: Steps,
    /// noded has said goodbye: end with the last step.
    leaving: bool,
}

/// Runs the spawner on a listening socket; never returns.
pub fn run(listener: OwnedFd) -> ! {
    signals::set_name(c"a2arun-spawner");
    let code = match serve(listener) {
        Ok(()) => 0,
        Err(error) => {
            say(&format!("a2arun-spawner: {error}"));
            1
        }
    };
    exit_now(code)
}

fn say(text: &str) {
    let _ = rustix::io::write(std::io::stderr(), format!("{text}\n").as_bytes());
}

fn serve(listener: OwnedFd) -> std::io::Result<()> {
    // A session of its own: no terminal's Ctrl-C reaches it or the steps.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    // What noded was started with is not kept open by whoever outlives it.
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    signals::block_all()?;
    signals::become_subreaper()?;
    let mut children = signals::sigchld_fd()?;
    let mut this = Spawner {
        listener,
        noded: None,
        restarter: Restarter::default(),
        steps: Steps::new()?,
        leaving: false,
    };
    let mut buffer = vec![0u8; MESSAGE_MAX_BYTES];
    loop {
        this.wait(&children)?;
        signals::drain(&mut children);
        this.accept();
        this.hear(&mut buffer);
        this.reap();
        this.restarter.run(Instant::now(), this.noded.is_some());
        if this.is_done() {
            return Ok(());
        }
    }
}

impl Spawner {
    fn is_done(&self) -> bool {
        let nobody_comes = self.leaving || !self.restarter.has_hope();
        self.noded.is_none() && nobody_comes && self.steps.is_empty() && self.restarter.was_met()
    }

    fn wait(&self, children: &impl AsFd) -> std::io::Result<()> {
        let fds: Vec<BorrowedFd<'_>> = [Some(self.listener.as_fd()), Some(children.as_fd())]
            .into_iter()
            .chain([self.noded.as_ref().map(AsFd::as_fd)])
            .flatten()
            .collect();
        let mut polled: Vec<_> =
            fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let timeout = self.restarter.wait(Instant::now()).map(|d| Timespec {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(d.subsec_nanos()),
        });
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The newest connection wins once the old one has been read to its end.
    fn accept(&mut self) {
        while self.noded.is_none() {
            match seqpacket::accept(&self.listener) {
                Ok(Some(socket)) if self.is_ours(&socket) => {
                    self.restarter.seen();
                    self.noded = Some(socket);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn is_ours(&self, socket: &OwnedFd) -> bool {
        seqpacket::peer_uid(socket).is_ok_and(|uid| uid == rustix::process::geteuid().as_raw())
    }

    fn send(&mut self, message: &SpawnerMessage) {
        let Some(noded) = &self.noded else { return };
        let Ok(bytes) = serde_json::to_vec(message) else { return };
        // A noded that does not read finds out from the steps' own connections.
        let _ = seqpacket::send(noded, &bytes, &[]);
    }

    fn hear(&mut self, buffer: &mut [u8]) {
        loop {
            let Some(noded) = &self.noded else { return };
            match seqpacket::recv(noded, buffer) {
                Ok(Received::Message(len, fds)) => match serde_json::from_slice(&buffer[..len]) {
                    Ok(command) => self.obey(command, fds),
                    Err(error) => say(&format!("a2arun-spawner: unknown request: {error}")),
                },
                Ok(Received::WouldBlock) => return,
                Ok(Received::End) | Err(_) => {
                    self.noded = None;
                    self.restarter.lost(Instant::now());
                    self.accept();
                }
            }
        }
    }

    fn obey(&mut self, command: SpawnerCommand, mut fds: Vec<OwnedFd>) {
        match command {
            SpawnerCommand::Hello { restart } => {
                self.leaving = false;
                self.restarter.met(restart);
                self.steps.set_output_event(fds.pop());
                let pid = rustix::process::getpid().as_raw_nonzero().get();
                self.send(&SpawnerMessage::Welcome { pid });
                let abandoned = self.steps.abandoned();
                for keys in abandoned.chunks(KEYS_A_MESSAGE) {
                    self.send(&SpawnerMessage::Abandoned(keys.to_vec()));
                }
            }
            SpawnerCommand::Spawn => {
                let fork = self.steps.start(fds);
                for (key, error) in fork.failed {
                    self.send(&SpawnerMessage::NotStarted { key, error });
                }
                for started in fork.started.chunks(KEYS_A_MESSAGE) {
                    self.send(&SpawnerMessage::Started(started.to_vec()));
                }
            }
            SpawnerCommand::Guard(key) => self.steps.guard(key, fds),
            SpawnerCommand::Forget(key) => self.steps.forget(&key),
            SpawnerCommand::Bye => {
                self.leaving = true;
                self.restarter.disarm();
            }
        }
    }

    fn reap(&mut self) {
        for (key, pid) in self.steps.reap(self.noded.is_some()) {
            self.send(&SpawnerMessage::StepDied { key, pid });
        }
    }
}

/// Instances by key, as every part of the spawner looks them up.
type ByKey<T> = HashMap<InstanceKey, T>;
