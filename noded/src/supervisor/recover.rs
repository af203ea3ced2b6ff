//! Finding again what an earlier noded left: runs, instances, steps. A record that cannot be read
//! never stops a start (promise P10).

use std::time::Duration;

use a2arun_core::ids::{Generation, Rank, RunId};
use a2arun_core::machine::lease::Event;
use a2arun_core::record::RecordError;
use tokio::time::Instant;

use super::Phase;
use super::actor::{Run, Supervisor, Timer};
use super::instance::Instance;
use super::launch::nameless;
use super::views::InstanceView;
use crate::describe;
use crate::ledger::{InstanceDir, LedgerError, TryLock};
use crate::msg::InstanceKey;

/// How often a step that holds its folder but has not called is looked at.
const AWAIT_STEP: Duration = Duration::from_millis(50);

impl Supervisor {
    /// Reads the ledger.
    pub(super) fn recover(&mut self) {
        let runs = match self.ledger.runs() {
            Ok(runs) => runs,
            Err(error) => {
                tracing::error!(error = describe(&error), "cannot list earlier runs");
                return;
            }
        };
        for id in runs.into_iter().filter(|id| !self.ledger.has_ended(id)).collect::<Vec<_>>() {
            self.recover_run(&id);
        }
    }

    fn recover_run(&mut self, id: &RunId) {
        match self.ledger.read_run(id) {
            Ok(record) => self.add_run(record.identity, record.generation),
            // Made by a noded that died before anything was in it.
            Err(_) if self.ledger.ranks(id).is_empty() => {
                let _ = self.ledger.mark_ended(id);
                return;
            }
            Err(error) => {
                tracing::warn!(run = %id, error = describe(&error), "cannot read a run's record");
                self.adopt_nameless(id);
            }
        }
        let ranks = self.ledger.ranks(id);
        self.with_run(id, |this, run| {
            for rank in &ranks {
                this.recover_instance(run, *rank);
            }
        });
        tracing::info!(run = %id, instances = ranks.len(), "found a run");
        self.lease_event(id, Event::Recovered);
    }

    /// A run of which only its name is known.
    pub(super) fn adopt_nameless(&mut self, id: &RunId) {
        if let Some(identity) = nameless(id) {
            self.add_run(identity, Generation(0));
        }
    }

    /// Finds out what became of an instance, and sees to it that it has a step.
    pub(super) fn recover_instance(&mut self, run: &mut Run, rank: Rank) {
        let path = self.ledger.instance_dir(&run.identity.run, rank);
        let locked = match InstanceDir::try_lock(&path) {
            Ok(locked) => locked,
            Err(error) => {
                tracing::warn!(run = %run.identity.run, %rank, error = describe(&error), "cannot look at an instance");
                return;
            }
        };
        let (dir, busy) = match locked {
            TryLock::Missing => return,
            TryLock::Locked(dir) => (dir, false),
            TryLock::Busy => match InstanceDir::open(&path) {
                Ok(dir) => (dir, true),
                Err(_) => return,
            },
        };
        match dir.spawn() {
            Ok(Some(record)) => {
                let key = record.key.clone();
                let mut instance = Instance::recovered(record);
                let incarnation = instance.incarnation;
                let exit = readable(dir.exit(), run, rank).flatten();
                let ended = exit.as_ref().map(|e| (e.stdout_bytes, e.stderr_bytes));
                match exit {
                    Some(exit) => instance.close(exit),
                    None if busy => {
                        let at = Instant::now() + AWAIT_STEP;
                        self.timers.set(at, Timer::Awaited(key));
                    }
                    None => {}
                }
                let adopt = instance.is_live() && !busy;
                run.instances.insert(rank, instance);
                run.views.push(InstanceView { rank, incarnation, has_output: [true; 2], ended });
                run.views_changed = true;
                // Only now may its next step have the lock.
                drop(dir);
                if adopt {
                    self.start_steps(run, &[rank]);
                }
            }
            // Its step is about to write it, or died before: the head asks again.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(run = %run.identity.run, %rank, error = describe(&error), "cannot read a spawn record");
                // With a step there it is known well enough: the step calls. One of another
                // version, or one that cannot be read just now, is nobody's fault.
                if !busy && is_torn(&error) {
                    self.torn(run, rank);
                }
            }
        }
    }

    /// An instance whose spawn record is torn: what is left of it is ended, by its mark.
    fn torn(&mut self, run: &mut Run, rank: Rank) {
        use crate::os::{pidfd, proc};
        let path = self.ledger.instance_dir(&run.identity.run, rank);
        let mark = format!("A2ARUN_RUN_DIR={}", path.display());
        for pid in proc::all_pids().into_iter().filter(|p| proc::has_variable(*p, &mark)) {
            if let Ok(fd) = pidfd::open(pid)
                && proc::has_variable(pid, &mark)
            {
                tracing::warn!(pid, "ending a process whose record is torn");
                let _ = pidfd::signal(&fd, a2arun_core::launch::SignalNumber::KILL);
            }
        }
        let key = InstanceKey { run: run.identity.run.clone(), rank };
        run.instances.insert(rank, Instance::nameless(key));
        self.exited(run, rank, Self::unknown_exit("its spawn record is torn"));
    }

    /// An instance without a connection to its step: has it ended, does its step live, or does it
    /// need another?
    pub(super) fn check_awaited(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get(&rank) else { return };
        if !instance.is_live() || instance.link.is_some() || instance.phase == Phase::Exited {
            return;
        }
        let key = instance.key.clone();
        let path = self.ledger.instance_dir(&run.identity.run, rank);
        match InstanceDir::try_lock(&path) {
            Ok(TryLock::Busy) => {
                self.timers.set(Instant::now() + AWAIT_STEP, Timer::Awaited(key));
            }
            Ok(TryLock::Locked(dir)) => match readable(dir.exit(), run, rank).flatten() {
                Some(exit) => self.exited(run, rank, exit),
                None => {
                    drop(dir);
                    self.start_steps(run, &[rank]);
                }
            },
            Ok(TryLock::Missing) => {
                let exit = Self::unknown_exit("its folder is gone");
                self.exited(run, rank, exit);
            }
            Err(error) => {
                tracing::warn!(%rank, error = describe(&error), "cannot look at an instance");
                self.timers.set(Instant::now() + AWAIT_STEP * 20, Timer::Awaited(key));
            }
        }
    }
}

fn is_torn(error: &LedgerError) -> bool {
    match error {
        LedgerError::Record { source, .. } => match source {
            RecordError::Torn(_) | RecordError::Content(_) => true,
            RecordError::Version(_) => false,
        },
        LedgerError::Io { .. } => false,
    }
}

fn readable<T>(result: Result<T, LedgerError>, run: &Run, rank: Rank) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(run = %run.identity.run, %rank, error = describe(&error), "cannot read a record");
            None
        }
    }
}
