//! What the spawner says, and what happens when it dies.

use std::os::fd::OwnedFd;

use a2arun_core::ids::Rank;
use tokio::time::Instant;

use super::actor::{Run, Supervisor, Timer};
use super::instance::Instance;
use super::links::{serve_spawner, start_spawner};
use crate::msg::{InstanceKey, SpawnerCommand, SpawnerMessage};
use crate::os::pidfd;

impl Supervisor {
    /// Gives the spawner the reading ends of an instance whose step it did not start.
    pub(super) fn guard_with_spawner(&self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank).filter(|i| i.is_live()) else { return };
        let (Some(spawner), Some((out, err))) = (&self.spawner, &instance.guard) else { return };
        if let (Ok(out), Ok(err)) = (out.try_clone(), err.try_clone()) {
            spawner.send(SpawnerCommand::Guard(instance.key.clone()), vec![out, err]);
            instance.guarded_abroad = true;
        }
    }

    pub(super) fn spawner_said(&mut self, message: SpawnerMessage) {
        match message {
            SpawnerMessage::Welcome { pid } => {
                self.spawner_pid.send_replace(pid);
            }
            SpawnerMessage::Started(started) => {
                for (key, pid) in started {
                    // A child of the spawner that it has not reaped: the pid is the step's.
                    let step = pidfd::open(pid).ok();
                    let run = self.runs.get_mut(&key.run);
                    if let Some(instance) = run.and_then(|r| r.instances.get_mut(&key.rank)) {
                        instance.step = step.filter(|_| instance.is_live());
                    }
                }
            }
            SpawnerMessage::NotStarted { key, error } => self.with_run(&key.run, |this, run| {
                let why = format!("cannot fork its step: {error}");
                this.never_started(run, key.rank, &why);
            }),
            SpawnerMessage::StepDied { key, .. } => self.step_died(&key),
            SpawnerMessage::Abandoned(keys) => keys.iter().for_each(|key| self.step_died(key)),
        }
    }

    /// A step that has no connection here has died; one with a connection is seen by its end.
    pub(super) fn step_died(&mut self, key: &InstanceKey) {
        self.with_run(&key.run, |this, run| {
            let waits = |i: &Instance| i.link.is_none() && i.replace_at.is_none();
            if run.instances.get(&key.rank).is_some_and(waits) {
                this.check_awaited(run, key.rank);
            }
        });
    }

    pub(super) fn greet_spawner(&mut self, socket: OwnedFd) -> std::io::Result<()> {
        let link = serve_spawner(&mut self.tasks, socket, self.inbox.clone())?;
        let hello = SpawnerCommand::Hello { restart: self.settings.restart.clone() };
        link.send(hello, vec![self.output_event.try_clone()?]);
        self.spawner = Some(link);
        Ok(())
    }

    /// The spawner died: another takes its place and gets what it guarded.
    pub(super) fn spawner_lost(&mut self) {
        self.spawner = None;
        tracing::warn!("the spawner is gone; starting another");
        let started = start_spawner(&self.settings).and_then(|socket| self.greet_spawner(socket));
        if let Err(error) = started {
            tracing::error!(%error, "cannot start a spawner");
            self.timers.set(Instant::now() + std::time::Duration::from_secs(1), Timer::Spawner);
            return;
        }
        for id in self.runs.keys().cloned().collect::<Vec<_>>() {
            self.with_run(&id, |this, run| {
                for rank in run.instances.keys().copied().collect::<Vec<_>>() {
                    this.guard_with_spawner(run, rank);
                }
            });
        }
        for key in std::mem::take(&mut self.waiting_for_spawner) {
            self.with_run(&key.run.clone(), |this, run| this.start_steps(run, &[key.rank]));
        }
    }
}
