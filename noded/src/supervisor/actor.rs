//! The supervisor's loop: take an input, fold it, flush what came of it.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};

use a2arun_core::ids::{Generation, Rank, RunId};
use a2arun_core::launch::{ReadinessCheck, RunIdentity};
use a2arun_core::machine::lease;
use a2arun_core::outcome::{ExitReason, ExitRecord, Proof, StopCause};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use super::instance::{Instance, Process, StopOrder};
use super::links::{CalledStep, SpawnerLink, serve_spawner, start_spawner};
use super::views::{InstanceView, RunView, Views};
use super::{
    EventKind, INBOX_DEPTH, Input, InstanceEvent, Level, NoticeKind, Output, Phase, ProbeReport,
    RunReport, Settings,
};
use crate::ledger::{InstanceDir, Ledger, LogFile};
use crate::msg::{InstanceKey, SpawnerCommand, SpawnerMessage, StepCommand, StepMessage};
use crate::os::pidfd;
use crate::ports::Reservations;
use crate::probe;

/// So many inputs are folded before what came of them is sent.
const TURN_MAX: usize = 256;

/// A run in memory.
#[derive(Debug)]
pub(super) struct Run {
    pub identity: RunIdentity,
    pub generation: Generation,
    pub lease: lease::State,
    pub outbox: Option<mpsc::Sender<Output>>,
    pub instances: BTreeMap<Rank, Instance>,
    pub pending: Vec<InstanceEvent>,
    pub views: Vec<InstanceView>,
    pub views_changed: bool,
    pub views_sender: watch::Sender<RunView>,
    /// All of it was told to stop: whoever turns up later is, too.
    pub stop_all: Option<StopCause>,
    /// Its head has everything, or is gone for good: forget it when the last instance is over.
    pub released: bool,
}

impl Run {
    /// Notes an event for the head.
    pub(super) fn event(&mut self, rank: Rank, kind: EventKind) {
        let incarnation = self.instances.get(&rank).map(|i| i.incarnation).unwrap_or_default();
        self.pending.push(InstanceEvent { rank, incarnation, time: Timestamp::now(), kind });
    }

    /// Answers the head, if there is one and it reads.
    pub(super) fn answer(&mut self, output: Output) {
        if let Some(outbox) = &self.outbox
            && outbox.try_send(output).is_err()
        {
            tracing::warn!(run = %self.identity.run, "a head does not read its answers");
        }
    }

    /// Whether any instance is not over.
    pub(super) fn is_live(&self) -> bool {
        self.instances.values().any(Instance::is_live)
    }

    fn flush(&mut self) {
        if self.views_changed {
            self.views_changed = false;
            let instances = std::sync::Arc::new(self.views.clone());
            self.views_sender.send_replace(RunView { instances, ended: false });
        }
        if self.pending.is_empty() {
            return;
        }
        let Some(outbox) = &self.outbox else {
            // The next head gets the whole state with its attach.
            self.pending.clear();
            return;
        };
        if let Ok(permit) = outbox.try_reserve() {
            permit.send(Output::Events(std::mem::take(&mut self.pending)));
        }
    }
}

/// What is due at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Timer {
    /// A run's lease.
    Lease(RunId),
    /// A stop that was ordered.
    StopCheck(InstanceKey),
    /// A step that has not called since noded started.
    Awaited(InstanceKey),
    /// A step to be replaced.
    Replace(InstanceKey),
    /// Events that a head had no room for.
    Flush,
    /// Another try to have a spawner.
    Spawner,
    /// Old runs may go.
    Prune,
    /// Nothing was live for the linger time.
    Linger,
}

/// Timers by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeMap<(Instant, u64), Timer>,
    next: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.next += 1;
        self.by_time.insert((at, self.next), timer);
    }

    fn first(&self) -> Option<Instant> {
        self.by_time.keys().next().map(|(at, _)| *at)
    }

    fn due(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.by_time.first_entry().filter(|e| e.key().0 <= now)?;
        Some(entry.remove())
    }
}

/// The owner of all runs.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) settings: Settings,
    pub(super) ledger: Ledger,
    pub(super) runs: HashMap<RunId, Run>,
    pub(super) heads: HashMap<lease::HeadId, RunId>,
    pub(super) ports: Reservations,
    pub(super) spawner: Option<SpawnerLink>,
    pub(super) spawner_pid: watch::Sender<i32>,
    pub(super) waiting_for_spawner: Vec<InstanceKey>,
    pub(super) tasks: JoinSet<()>,
    pub(super) probes: JoinSet<()>,
    pub(super) timers: Timers,
    pub(super) inbox: mpsc::Sender<Input>,
    pub(super) next_link: u64,
    pub(super) clock: Instant,
    pub(super) views: Views,
    output_event: OwnedFd,
    idle_since: Option<Instant>,
    /// Runs that have ended since old ones were removed last.
    pub(super) unpruned: usize,
    leaving: bool,
}

impl Supervisor {
    /// A supervisor with nothing to do yet. `output_event` is what steps raise on new output.
    pub fn new(
        settings: Settings,
        ledger: Ledger,
        views: Views,
        output_event: OwnedFd,
    ) -> (Self, mpsc::Sender<Input>, mpsc::Receiver<Input>, watch::Receiver<i32>) {
        let (inbox, inputs) = mpsc::channel(INBOX_DEPTH);
        let (spawner_pid, watch_pid) = watch::channel(0);
        let mut ports = Reservations::default();
        ports.seed(u16::try_from(settings.epoch % 9973).unwrap_or(0));
        let supervisor = Self {
            settings,
            ledger,
            runs: HashMap::new(),
            heads: HashMap::new(),
            ports,
            spawner: None,
            spawner_pid,
            waiting_for_spawner: Vec::new(),
            tasks: JoinSet::new(),
            probes: JoinSet::new(),
            timers: Timers::default(),
            inbox: inbox.clone(),
            // Links of steps that call count from the middle, so the two never meet.
            next_link: 0,
            clock: Instant::now(),
            views,
            output_event,
            idle_since: None,
            unpruned: 0,
            leaving: false,
        };
        (supervisor, inbox, inputs, watch_pid)
    }

    /// Connects the spawner and finds what an earlier noded left. `socket` is its connection.
    ///
    /// # Errors
    /// When the spawner cannot be talked to at all.
    pub fn begin(&mut self, socket: OwnedFd) -> std::io::Result<()> {
        self.greet_spawner(socket)?;
        Ok(())
    }

    /// Runs until told to end. Agents go on without it.
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        self.recover();
        self.prune();
        self.note_idle();
        while !self.leaving {
            let next = self.timers.first();
            // Cancel safe: receiving and sleeping lose nothing.
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.fold(input),
                    None => break,
                },
                () = sleep_until(next) => {}
            }
            for _ in 0..TURN_MAX {
                match inputs.try_recv() {
                    Ok(input) => self.fold(input),
                    Err(_) => break,
                }
            }
            while let Some(timer) = self.timers.due(Instant::now()) {
                self.elapse(timer);
            }
            self.flush();
            self.note_idle();
            while self.tasks.try_join_next().is_some() {}
            while self.probes.try_join_next().is_some() {}
        }
        if let Some(spawner) = self.spawner.take() {
            spawner.goodbye().await;
        }
    }

    fn flush(&mut self) {
        let mut held_back = false;
        for run in self.runs.values_mut() {
            run.flush();
            held_back |= !run.pending.is_empty();
        }
        if held_back {
            let at = Instant::now() + std::time::Duration::from_millis(20);
            self.timers.set(at, Timer::Flush);
        }
    }

    /// Starts the linger clock when nothing is left to do.
    fn note_idle(&mut self) {
        let Some(linger) = self.settings.linger else { return };
        let busy = !self.heads.is_empty() || self.runs.values().any(Run::is_live);
        if busy {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            let now = Instant::now();
            self.idle_since = Some(now);
            self.timers.set(now + linger, Timer::Linger);
        }
    }

    fn fold(&mut self, input: Input) {
        match input {
            Input::Head(head, input) => self.head(head, input),
            Input::Step(link, key, message, fds) => self.with_run(&key.run.clone(), |this, run| {
                let current = run.instances.get(&key.rank).and_then(|i| i.link.as_ref());
                if current.is_some_and(|l| l.id == link) {
                    this.step_said(run, key.rank, message, fds);
                }
            }),
            Input::StepLost(link, key) => self.with_run(&key.run.clone(), |this, run| {
                let current = run.instances.get(&key.rank).and_then(|i| i.link.as_ref());
                if current.is_some_and(|l| l.id == link) {
                    this.step_lost(run, key.rank);
                }
            }),
            Input::StepCalled(called) => self.step_called(called),
            Input::Spawner(message) => self.spawner_said(message),
            Input::SpawnerLost => self.spawner_lost(),
            Input::Probe(key, incarnation, report) => {
                self.with_run(&key.run.clone(), |this, run| {
                    let known = run.instances.get(&key.rank).map(|i| i.incarnation);
                    if known == Some(incarnation) {
                        this.probed(run, key.rank, report);
                    }
                });
            }
            Input::Describe(run, reply) => {
                let _ = reply.send(self.reports(run.as_ref()));
            }
            Input::StopRun(run, grace, reply) => {
                let mut found = None;
                self.with_run(&run, |this, run| {
                    found = Some(this.stop(run, &[], grace, StopCause::User));
                });
                let _ = reply.send(found);
            }
            Input::Stdin(key, reply) => {
                let stdin = self
                    .runs
                    .get(&key.run)
                    .and_then(|r| r.instances.get(&key.rank))
                    .and_then(|i| i.stdin.as_ref())
                    .and_then(|fd| fd.try_clone().ok());
                let _ = reply.send(stdin);
            }
            Input::StdinClosed(key) => self.with_run(&key.run.clone(), |_, run| {
                if let Some(instance) = run.instances.get_mut(&key.rank) {
                    instance.stdin = None;
                    if let Some(link) = &instance.link {
                        link.send(&StepCommand::CloseStdin, &[]);
                    }
                }
            }),
            Input::Shutdown => self.leaving = true,
        }
    }

    /// Takes a run out, so that it and the rest of the supervisor can be changed together.
    pub(super) fn with_run(&mut self, id: &RunId, change: impl FnOnce(&mut Self, &mut Run)) {
        let Some(mut run) = self.runs.remove(id) else { return };
        change(self, &mut run);
        if run.released && !run.is_live() {
            run.flush();
            self.forget(run);
        } else {
            self.runs.insert(id.clone(), run);
        }
    }

    fn elapse(&mut self, timer: Timer) {
        match timer {
            Timer::Lease(run) => self.lease_event(&run, lease::Event::Tick),
            Timer::StopCheck(key) => {
                self.with_run(&key.run, |this, run| this.check_stop(run, key.rank));
            }
            Timer::Awaited(key) => {
                self.with_run(&key.run, |this, run| this.check_awaited(run, key.rank));
            }
            Timer::Replace(key) => self.with_run(&key.run, |this, run| {
                if let Some(instance) = run.instances.get_mut(&key.rank) {
                    instance.replace_at = None;
                }
                this.start_steps(run, &[key.rank]);
            }),
            Timer::Spawner => self.spawner_lost(),
            Timer::Flush => {}
            Timer::Prune => self.prune(),
            Timer::Linger => {
                let linger = self.settings.linger.unwrap_or_default();
                if self.idle_since.is_some_and(|since| since.elapsed() >= linger) {
                    tracing::info!("nothing to do: leaving");
                    self.leaving = true;
                }
            }
        }
    }

    pub(super) fn live_instances(&self) -> usize {
        let live = |run: &Run| run.instances.values().filter(|i| i.is_live()).count();
        self.runs.values().map(live).sum()
    }

    fn reports(&self, only: Option<&RunId>) -> Vec<RunReport> {
        let wanted = self.runs.values().filter(|r| only.is_none_or(|id| r.identity.run == *id));
        wanted
            .map(|run| RunReport {
                identity: run.identity.clone(),
                generation: run.generation,
                attached: matches!(run.lease, lease::State::Leased { .. }),
                instances: run.instances.values().map(Instance::report).collect(),
            })
            .collect()
    }

    fn step_said(
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
                if let Some(view) = run.views.iter_mut().find(|v| v.rank == rank) {
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

    fn running(&mut self, run: &mut Run, rank: Rank) {
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
            self.ready(run, rank, Level::Exec);
        } else {
            self.start_probe(run, rank);
        }
    }

    fn ready(&mut self, run: &mut Run, rank: Rank, level: Level) {
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        if instance.phase != Phase::Starting {
            return;
        }
        let now = Timestamp::now();
        let started = instance.process.as_ref().map_or(now, |p| p.started);
        let after = std::time::Duration::try_from(now.duration_since(started)).unwrap_or_default();
        instance.ready = Some(now);
        instance.level = Some(level);
        instance.phase = Phase::Ready;
        if let Some(link) = &instance.link
            && instance.readiness.check != ReadinessCheck::Alive
        {
            link.send(&StepCommand::Ready, &[]);
        }
        run.event(rank, EventKind::Ready(level, after));
    }

    /// Watches an instance until it is ready.
    pub(super) fn start_probe(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        let Some(process) = &instance.process else { return };
        if instance.probe.as_ref().is_some_and(|p| !p.is_finished()) {
            return;
        }
        let target = probe::Target {
            key: instance.key.clone(),
            incarnation: instance.incarnation,
            readiness: instance.readiness.clone(),
            port: instance.port,
            address: instance.address.clone(),
            pid: process.pid,
            started: process.started,
        };
        let span = tracing::debug_span!("probe", run = %instance.key.run, %rank);
        let watch = probe::watch(target, self.inbox.clone()).instrument(span);
        instance.probe = Some(self.probes.spawn(watch));
    }

    fn probed(&mut self, run: &mut Run, rank: Rank, report: ProbeReport) {
        match report {
            ProbeReport::Passed(level) => self.ready(run, rank, level),
            ProbeReport::Deadline(last) => {
                if let Some(instance) = run.instances.get_mut(&rank) {
                    instance.last_probe = Some(last);
                }
                self.stop(run, &[rank], None, StopCause::StartTimeout);
            }
            ProbeReport::Notice(kind, text) => {
                if let Some(instance) = run.instances.get_mut(&rank) {
                    instance.last_probe = Some(text.clone());
                }
                run.event(rank, EventKind::Notice(kind, text));
            }
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
        match run.views.iter_mut().find(|v| v.rank == rank) {
            Some(known) => *known = view,
            None => run.views.push(view),
        }
        run.views_changed = true;
        run.event(rank, EventKind::Exited(Box::new(exit)));
    }

    fn step_called(&mut self, called: CalledStep) {
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

    /// Goes on waiting for an instance that was not ready when an earlier noded died.
    fn running_again(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get(&rank) else { return };
        if instance.phase != Phase::Starting || instance.stop.is_some() {
            return;
        }
        if instance.readiness.check == ReadinessCheck::Alive {
            self.ready(run, rank, Level::Exec);
        } else {
            self.start_probe(run, rank);
        }
    }

    /// Gives the spawner the reading ends of an instance whose step it did not start.
    fn guard_with_spawner(&self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank).filter(|i| i.is_live()) else { return };
        let (Some(spawner), Some((out, err))) = (&self.spawner, &instance.guard) else { return };
        if let (Ok(out), Ok(err)) = (out.try_clone(), err.try_clone()) {
            spawner.send(SpawnerCommand::Guard(instance.key.clone()), vec![out, err]);
            instance.guarded_abroad = true;
        }
    }

    fn spawner_said(&mut self, message: SpawnerMessage) {
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
    fn step_died(&mut self, key: &InstanceKey) {
        self.with_run(&key.run, |this, run| {
            let waits = |i: &Instance| i.link.is_none() && i.replace_at.is_none();
            if run.instances.get(&key.rank).is_some_and(waits) {
                this.check_awaited(run, key.rank);
            }
        });
    }

    fn greet_spawner(&mut self, socket: OwnedFd) -> std::io::Result<()> {
        let link = serve_spawner(&mut self.tasks, socket, self.inbox.clone())?;
        let hello = SpawnerCommand::Hello { restart: self.settings.restart.clone() };
        link.send(hello, vec![self.output_event.try_clone()?]);
        self.spawner = Some(link);
        Ok(())
    }

    /// The spawner died: another takes its place and gets what it guarded.
    fn spawner_lost(&mut self) {
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

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
