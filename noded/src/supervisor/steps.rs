//! What steps and probes say of their instances, folded.

use std::os::fd::{AsFd, OwnedFd};

use a2arun_core::ids::Rank;
use a2arun_core::launch::ReadinessCheck;
use a2arun_core::machine::lease;
use a2arun_core::outcome::{ExitReason, ExitRecord, Proof, StopCause};
use tokio::time::Instant;

use super::actor::{Run, Supervisor};
use super::instance::{Process, StopOrder};
use super::links::CalledStep;
use super::views::InstanceView;
use super::{EventKind, Level, NoticeKind, Phase};
use crate::ledger::{InstanceDir, LogFile};
use crate::msg::{SpawnerCommand, StepCommand, StepMessage};
use crate::os::pidfd;

impl Supervisor {
    pub(super) fn step_said(
        &mut self,
        run: &mut Run,
        rank: Rank,
        message: StepMessage,
        mut fds: Vec<OwnedFd>,
    ) {
        let Some(instance) = run.instances.get_mut(&rank).filter(|i| i.is_live()) else { return };
        match message {
            StepMessage::Hello(_) => tracing::warn!(%rank, "a second hello from a step"),
            StepMessage::Spawned(spawned) => {
                instance.stillborn = 0;
                instance.incarnation = spawned.incarnation;
                let known = instance.process.is_some();
                let mut fds = std::mem::take(&mut fds).into_iter();
                let pidfd = fds.next();
                if let Some(readers) = fds.next().zip(fds.next()) {
                    instance.guard = Some(readers);
                }
                instance.process =
                    Some(Process { pid: spawned.pid, pidfd, started: spawned.at, running: false });
                if spawned.adopted {
                    if !known {
                        // Spawned by a step that died before it could say so.
                        run.event(rank, EventKind::Spawned(spawned.pid));
                    }
                    self.note_adoption(run, rank);
                }
            }
            StepMessage::Running => self.running(run, rank),
            StepMessage::Stopping(cause) => {
                instance.phase = Phase::Stopping;
                if let Some(order) = &mut instance.stop {
                    order.heard = true;
                }
                run.event(rank, EventKind::Stopping(cause));
            }
            StepMessage::Exited(exit) => self.exited(run, rank, exit),
            StepMessage::FirstOutput { stderr } => {
                let incarnation = instance.incarnation;
                let this = |v: &&mut InstanceView| (v.rank, v.incarnation) == (rank, incarnation);
                if let Some(view) = run.views.iter_mut().find(this) {
                    view.has_output[usize::from(stderr)] = true;
                    run.views_changed = true;
                }
            }
            StepMessage::DiskFull(why) => {
                tracing::warn!(run = %run.identity.run, %rank, why, "output is being dropped");
                let text = format!("its output is being dropped: {why}");
                run.event(rank, EventKind::Notice(NoticeKind::DiskFull, text));
            }
        }
    }

    pub(super) fn running(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        let Some(process) = &mut instance.process else { return };
        let first = instance.adoptions == 0 && !process.running;
        process.running = true;
        let pid = process.pid;
        instance.writers = None;
        // How to spawn it is not needed any more; its environment may hold secrets.
        instance.launch = None;
        if first {
            run.event(rank, EventKind::Spawned(pid));
        }
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        if instance.ready.is_some() || instance.stop.is_some() {
            return;
        }
        if instance.readiness.check == ReadinessCheck::Alive {
            self.ready(run, rank, Level::Exec, Box::default());
        } else {
            self.start_probe(run, rank);
        }
    }

    /// An instance is over.
    pub(super) fn exited(&mut self, run: &mut Run, rank: Rank, mut exit: ExitRecord) {
        let Some(instance) = run.instances.get_mut(&rank).filter(|i| i.is_live()) else { return };
        if exit.reason == ExitReason::StartTimeout && exit.detail.is_none() {
            exit.detail = instance.last_probe.clone();
        }
        let incarnation = instance.incarnation;
        if exit.proof == Proof::Weak && exit.stdout_bytes == 0 && exit.stderr_bytes == 0 {
            // Nobody counted: what is on disk is what there is to read.
            let path = self.ledger.instance_dir(&run.identity.run, rank);
            if let Ok(dir) = InstanceDir::open(&path) {
                exit.stdout_bytes = dir.log_size(LogFile::Out, incarnation.0);
                exit.stderr_bytes = dir.log_size(LogFile::Err, incarnation.0);
            }
        }
        let ended = Some((exit.stdout_bytes, exit.stderr_bytes));
        let taken = self.port_taken(run, rank, &exit);
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        instance.close(exit.clone());
        let key = instance.key.clone();
        if instance.guarded_abroad
            && let Some(spawner) = &self.spawner
        {
            spawner.send(SpawnerCommand::Forget(key.clone()), vec![]);
        }
        drop(self.ports.take(&key));
        let has_output = [exit.stdout_bytes > 0, exit.stderr_bytes > 0];
        let view = InstanceView { rank, incarnation, has_output, ended };
        let this = |v: &&mut InstanceView| (v.rank, v.incarnation) == (rank, incarnation);
        match run.views.iter_mut().find(this) {
            Some(known) => *known = view,
            None => run.views.push(view),
        }
        run.views_changed = true;
        if let Some(holder) = taken {
            run.event(rank, EventKind::Notice(NoticeKind::PortTaken, holder));
        }
        run.event(rank, EventKind::Exited(Box::new(exit)));
    }

    pub(super) fn step_called(&mut self, called: CalledStep) {
        let CalledStep { link, hello, fds } = called;
        let key = hello.key.clone();
        if !self.runs.contains_key(&key.run) {
            self.adopt_nameless(&key.run);
            self.lease_event(&key.run, lease::Event::Recovered);
        }
        let event = self.output_event.try_clone();
        self.with_run(&key.run, |this, run| {
            if !run.instances.contains_key(&key.rank) {
                this.recover_instance(run, key.rank);
            }
            let Some(instance) = run.instances.get_mut(&key.rank).filter(|i| i.is_live()) else {
                return;
            };
            let mut fds = fds.into_iter();
            instance.incarnation = hello.spawned.incarnation;
            instance.process = Some(Process {
                pid: hello.spawned.pid,
                pidfd: fds.next(),
                started: hello.spawned.at,
                running: true,
            });
            instance.guard = fds.next().zip(fds.next());
            instance.step = pidfd::open(hello.step_pid).ok();
            instance.replace_at = None;
            instance.stdin = if hello.stdin { fds.next() } else { None };
            instance.stillborn = 0;
            instance.launch = None;
            if let Ok(event) = &event {
                link.send(&StepCommand::Welcome, &[event.as_fd()]);
            }
            instance.link = Some(link);
            if let Some(ready) = hello.ready {
                instance.ready = Some(ready);
                if instance.phase == Phase::Starting {
                    instance.phase = Phase::Ready;
                }
            }
            if let Some(cause) = hello.stopping {
                instance.phase = Phase::Stopping;
                let kill_at = Instant::now() + instance.grace;
                let order = instance.stop.get_or_insert(StopOrder::new(cause, kill_at));
                order.heard = true;
                run.event(key.rank, EventKind::Stopping(cause));
            }
            this.guard_with_spawner(run, key.rank);
            this.brief_step(run, key.rank);
            this.running_again(run, key.rank);
            let late = run.stop_all.or(run.released.then_some(StopCause::Job));
            if let Some(cause) = late
                && hello.stopping.is_none()
            {
                this.stop(run, &[key.rank], None, cause);
            }
        });
    }
}
