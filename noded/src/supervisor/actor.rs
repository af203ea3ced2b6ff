//! The supervisor's loop: take an input, fold it, flush what came of it.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;

use a2arun_core::ids::{Generation, Rank, RunId};
use a2arun_core::launch::RunIdentity;
use a2arun_core::machine::lease;
use a2arun_core::outcome::StopCause;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::instance::Instance;
use super::links::SpawnerLink;
use super::views::{InstanceView, RunView, Views};
use super::{EventKind, INBOX_DEPTH, Input, InstanceEvent, Output, RunReport, Settings, Stdin};
use crate::ledger::Ledger;
use crate::msg::{InstanceKey, StepCommand};
use crate::peers::PeerBook;
use crate::ports::Reservations;

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
    /// Who calls whom, and the files that say so.
    pub peers: PeerBook,
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
    /// The peers files that were written last are there when this is closed.
    pub(super) peers_written: Option<oneshot::Receiver<()>>,
    pub(super) timers: Timers,
    pub(super) inbox: mpsc::Sender<Input>,
    pub(super) next_link: u64,
    pub(super) clock: Instant,
    pub(super) views: Views,
    pub(super) output_event: OwnedFd,
    idle_since: Option<Instant>,
    /// Runs that have ended since old ones were removed last.
    pub(super) unpruned: usize,
    leaving: bool,
}

/// What a noded that ends leaves to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing runs.
    Nothing,
    /// Their steps call the next noded by the sockets' paths.
    Instances,
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
            peers_written: None,
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
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Left {
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
        match self.runs.values().any(Run::is_live) {
            true => Left::Instances,
            false => Left::Nothing,
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
            Input::Reached(run, request, failures) => self.with_run(&run, |_, run| {
                run.answer(Output::Reached(request, failures));
            }),
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
                let run = self.runs.get(&key.run);
                let instance = run.and_then(|r| r.instances.get(&key.rank));
                let stdin = instance.map_or(Stdin::Closed, Instance::stdin);
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
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
