//! The head's loop: select an input, fold it by the machines, perform the effects.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::{Rank, RunId};
use a2arun_core::launch::ReadinessCheck;
use a2arun_core::machine::job::{self, Event, StopBy};
use a2arun_core::plan::{Bindings, HostIx, PlannedPort, ResolvedPlan};
use a2arun_core::spec::{AgentIx, PortSpec};
use a2arun_core::status::JobState;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::a2a::Answer;
use crate::head::asking::{Asking, BrokenOff};
use crate::head::cards::Cards;
use crate::head::edges::Edges;
use crate::head::finish::{self, Outcome};
use crate::head::hosts::{Host, Hosts};
use crate::head::instances::{Instances, Moved, News};
use crate::head::job::{Ask, Io, Job};
use crate::head::peers::{Peers, When};
use crate::head::retry::Retries;
use crate::head::show::Show;
use crate::head::signals::Signals;
use crate::head::stops::Schedule;
use crate::output::LogSink;
use crate::registry::JournalEntry as Entry;
use crate::session::{
    Change, ChangeKind, Contact, MAIN_PORT, PortRequest, RefusedReason, SessionEvent,
};

/// What sessions have said and the head has not taken yet.
const EVENTS_DEPTH: usize = 256;
/// How often the head looks at the clock for those who wait.
pub(super) const TICK: Duration = Duration::from_millis(1000);

/// Runs a job to its end.
///
/// # Cancel safety
/// Dropping it closes every session; noded then stops the instances by its own limits.
pub(crate) async fn run(job: Job, io: Io, signals: Signals) -> Outcome {
    let (events_in, events) = mpsc::channel(EVENTS_DEPTH);
    let mut head = Head::new(job, io, signals, events_in, events);
    head.feed(Event::HostsKnown);
    let rules = head.rules();
    head.feed(Event::PlanReady(rules));
    head.feed(Event::LaunchRequested);
    while !head.state.is_terminal() {
        let input = head.next().await;
        head.take(input);
    }
    finish::finish(head).await
}

/// Everything a head knows.
pub(super) struct Head {
    pub(super) job: Job,
    pub(super) io: Io,
    pub(super) state: job::State,
    pub(super) since: Timestamp,
    pub(super) ready: Option<Timestamp>,
    pub(super) instances: Instances,
    pub(super) hosts: Hosts,
    pub(super) show: Show,
    pub(super) bindings: Bindings,
    pub(super) resolved: Option<ResolvedPlan>,
    pub(super) edges: Edges,
    pub(super) cards: Cards,
    pub(super) asking: Asking,
    pub(super) broken_off: Option<BrokenOff>,
    pub(super) answer: Option<String>,
    pub(super) peers: Peers,
    /// Agents that somebody calls.
    pub(super) called: BTreeSet<AgentIx>,
    pub(super) retries: Retries,
    pub(super) stop: Option<Schedule>,
    /// When whoever is not heard of is given up, in a cleanup.
    pub(super) give_up_at: Option<Instant>,
    pub(super) given_up: Vec<Rank>,
    /// What a host said when it failed the launch.
    pub(super) host_failure: Option<HostFailure>,
    pub(super) sessions: JoinSet<()>,
    pub(super) logs: JoinSet<(HostIx, LogSink)>,
    pub(super) stdin: JoinSet<()>,
    pub(super) events: mpsc::Receiver<(HostIx, SessionEvent)>,
    pub(super) events_in: mpsc::Sender<(HostIx, SessionEvent)>,
    pub(super) signals: Signals,
    pub(super) tick_at: Instant,
    wall: Option<Instant>,
    asks_open: bool,
    queue: VecDeque<Event>,
}

/// What a host said when it failed the launch.
pub(super) struct HostFailure {
    pub(super) host: HostIx,
    pub(super) text: String,
    pub(super) told: Told,
}

/// Whether the user has read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Yes,
    /// It is to be the last word.
    NotYet,
}

pub(super) enum Input {
    Stop(StopBy),
    Session(HostIx, SessionEvent),
    Ask(Option<Ask>),
    /// The job's question has its answer, or none.
    Answered(Result<Answer, (LauncherCode, String)>),
    /// A host's output was read to where it ends.
    Logs(LogSink),
    Clock,
}

impl Head {
    fn new(
        job: Job,
        io: Io,
        signals: Signals,
        events_in: mpsc::Sender<(HostIx, SessionEvent)>,
        events: mpsc::Receiver<(HostIx, SessionEvent)>,
    ) -> Self {
        let now = Instant::now();
        Self {
            state: job::NEW,
            since: job.started,
            ready: None,
            instances: Instances::new(&job.spec, &job.plan),
            hosts: Hosts::default(),
            show: Show::new(&job, &io),
            bindings: Bindings::of(&job.plan),
            resolved: None,
            edges: Edges::default(),
            cards: Cards::default(),
            asking: Asking::new(),
            broken_off: None,
            answer: None,
            peers: Peers::default(),
            called: job.plan.wiring.edges().map(|e| e.to).collect(),
            retries: Retries::default(),
            stop: None,
            give_up_at: None,
            given_up: Vec::new(),
            host_failure: None,
            sessions: JoinSet::new(),
            logs: JoinSet::new(),
            stdin: JoinSet::new(),
            events,
            events_in,
            signals,
            tick_at: now + TICK,
            wall: job.timeout.map(|t| now + t),
            asks_open: true,
            queue: VecDeque::new(),
            job,
            io,
        }
    }

    pub(super) fn run_id(&self) -> RunId {
        self.job.run.clone()
    }

    pub(super) async fn next(&mut self) -> Input {
        let stop = self.stop.as_ref().and_then(Schedule::wake_at);
        let broken_off = self.broken_off.as_ref().map(BrokenOff::wake_at);
        let wake = [
            self.wall,
            stop,
            self.give_up_at,
            self.peers.wake_at(),
            self.edges.wake_at(),
            broken_off,
        ]
        .into_iter()
        .flatten()
        .fold(self.tick_at, Instant::min);
        // Stop requests come before everything: a flood of events must not outrun a Ctrl-C. All
        // of these keep what they did not give.
        tokio::select! {
            biased;
            by = self.signals.next() => Input::Stop(by),
            Some((host, event)) = self.events.recv() => Input::Session(host, event),
            ask = self.io.asks.recv(), if self.asks_open => Input::Ask(ask),
            Some(Ok(answer)) = self.asking.join_next() => Input::Answered(answer),
            Some(Ok((host, sink))) = self.logs.join_next() => {
                if let Some(entry) = self.hosts.get(host) {
                    entry.reading = false;
                }
                Input::Logs(sink)
            }
            () = sleep_until(wake) => Input::Clock,
        }
    }

    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::Stop(by) => {
                self.show.stop_asked(by, &self.state, &self.instances);
                self.feed(Event::StopRequested(by));
            }
            Input::Session(host, event) => self.session(host, event),
            Input::Ask(Some(ask)) => self.ask(ask),
            Input::Ask(None) => self.asks_open = false,
            Input::Answered(answer) => self.answered(answer),
            // Readers end when they are told the ends, at the finish.
            Input::Logs(_) => {}
            Input::Clock => self.clock(),
        }
        self.tell_peers(When::Due);
        self.look_again();
        // Whatever happened may have emptied a stage.
        self.drive_stop();
        self.settle();
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Status(reply) => {
                let mut status = self.status();
                // Its output is still being read: while its head lives a run is not over.
                if status.state == JobState::Inactive {
                    status.state = JobState::Cleanup;
                }
                // The asker may be gone.
                let _ = reply.send(status);
            }
            Ask::Stop { now, done } => {
                let by = if now { StopBy::RequestNow } else { StopBy::Request };
                self.show.stop_asked(by, &self.state, &self.instances);
                self.feed(Event::StopRequested(by));
                let _ = done.send(());
            }
        }
    }

    fn clock(&mut self) {
        let now = Instant::now();
        self.when_broken_off();
        if now >= self.tick_at {
            self.tick_at = now + TICK;
            self.show.tick(&self.job, &self.state, &self.instances, &self.hosts);
        }
        if self.wall.is_some_and(|at| now >= at) {
            self.wall = None;
            self.show.wall_time(self.job.timeout, &self.state);
            self.feed(Event::WallTime);
        }
        if self.give_up_at.is_some_and(|at| now >= at) {
            self.give_up_at = None;
            self.give_up();
        }
    }

    /// Queues a job event and works until none is left.
    pub(super) fn feed(&mut self, event: Event) {
        self.queue.push_back(event);
        self.settle();
    }

    /// Before everything that is queued.
    pub(super) fn queue_first(&mut self, event: Event) {
        self.queue.push_front(event);
    }

    pub(super) fn queue(&mut self, events: impl IntoIterator<Item = Event>) {
        self.queue.extend(events);
    }

    fn settle(&mut self) {
        while let Some(event) = self.queue.pop_front() {
            if self.waits_for_answer(&event) {
                continue;
            }
            let now = Timestamp::now();
            match job::advance(&self.state, event, now) {
                Ok((next, effects)) => {
                    let before = std::mem::replace(&mut self.state, next);
                    if next.name() != before.name() {
                        self.since = now;
                    }
                    if next.shown() != before.shown() {
                        self.note_state();
                    }
                    for effect in effects {
                        self.perform(effect);
                    }
                }
                Err(error) => tracing::error!(%error, "job"),
            }
        }
    }

    fn session(&mut self, host: HostIx, event: SessionEvent) {
        match event {
            SessionEvent::Up { facts, address, instances, notices } => {
                for notice in notices {
                    self.show.host_notice(host, &notice);
                }
                let first = self.hosts.get(host).is_some_and(|h| !h.was_reached());
                if let Some(entry) = self.hosts.get(host) {
                    entry.connected = true;
                    entry.facts = Some(facts);
                    entry.address = address.or(entry.address);
                }
                if first {
                    self.host_up(host);
                } else {
                    self.send_peers(host);
                    let moved = self.instances.reconcile(host, instances, Timestamp::now());
                    self.moved(moved);
                }
            }
            SessionEvent::Failed(error) => self.host_failed(host, error),
            SessionEvent::Broken(why) => {
                tracing::info!(host = host.0, %why, "connection broke");
                if let Some(entry) = self.hosts.get(host) {
                    entry.connected = false;
                }
            }
            SessionEvent::Contact(contact) => self.contact(host, contact),
            SessionEvent::Ports(answer) => self.ports(host, answer),
            SessionEvent::Reached(failures) => self.reached(host, failures),
            SessionEvent::Changed(changes) => {
                for change in changes {
                    self.changed(host, change);
                }
                self.forget_taken(host);
            }
            SessionEvent::Refused { reason, message, ranks } => {
                self.refused(host, reason, &message, &ranks);
            }
            SessionEvent::Closed { told } => {
                if let Some(entry) = self.hosts.get(host) {
                    entry.closed = Some(told);
                    entry.drop_session();
                }
            }
        }
    }

    fn changed(&mut self, host: HostIx, change: Change) {
        let Change { rank, incarnation, time, kind } = change;
        let news = match kind {
            ChangeKind::Spawned { pid } => News::Spawned { pid, at: time },
            ChangeKind::Ready { seen, after } => {
                News::Ready { seen: Some(Box::new(seen)), after: Some(after), at: time }
            }
            ChangeKind::Unready(why) => News::Unready(why),
            ChangeKind::Stopping => News::Stopping,
            ChangeKind::Exited(record) => match self.try_other_port(rank, incarnation, record) {
                Some(record) => News::Exited(record),
                None => return,
            },
            ChangeKind::Probe(text) => {
                let entry = Entry::instance("look", &self.job.plan, rank).at(time).text(&text);
                self.io.journal.write(entry);
                self.instances.set_probe(rank, text);
                return;
            }
            ChangeKind::PortTaken(text) => {
                self.retries.taken(rank, text);
                return;
            }
            ChangeKind::Notice(text) => {
                let entry = Entry::instance("notice", &self.job.plan, rank).at(time).text(&text);
                self.io.journal.write(entry);
                self.show.notice(rank, host, &text);
                return;
            }
        };
        let spawned = matches!(news, News::Spawned { .. });
        let now = Timestamp::now();
        let moved = self.instances.heard(rank, incarnation, news, now);
        let fresh = !moved.news.is_empty();
        self.moved(moved);
        if spawned && fresh && self.is_ready_when_alive(rank) {
            let ready = News::Ready { seen: None, after: Some(Duration::ZERO), at: time };
            let moved = self.instances.heard(rank, incarnation, ready, now);
            self.moved(moved);
        }
    }

    /// Such an instance is ready when it was exec'ed; noded need not say so twice.
    fn is_ready_when_alive(&self, rank: Rank) -> bool {
        let Some(instance) = self.job.plan.get(rank) else { return false };
        let check = self.agent_check(instance.agent);
        matches!(check, ReadinessCheck::Alive)
    }

    pub(super) fn agent_check(&self, agent: AgentIx) -> ReadinessCheck {
        self.job.spec.agent(agent).readiness_of(&self.job.spec.deployment).check
    }

    pub(super) fn moved(&mut self, moved: Moved) {
        for (rank, news) in &moved.news {
            self.note_news(*rank, news);
            self.note_peer(*rank, news);
            self.show.news(*rank, news, &self.state, &self.job, self.resolved.as_ref());
            if let News::Ready { seen: Some(seen), .. } = news {
                self.check_card(*rank, seen);
            }
        }
        if self.job.stdin.is_some() {
            for (rank, news) in &moved.news {
                if let News::Spawned { .. } = news {
                    self.forward_stdin(*rank);
                }
            }
        }
        self.queue(moved.events);
        self.settle();
    }

    fn contact(&mut self, host: HostIx, contact: Contact) {
        let Some(entry) = self.hosts.get(host) else { return };
        let before = std::mem::replace(&mut entry.contact, contact);
        self.show.contact(host, contact);
        self.note_contact(host, contact);
        let now = Timestamp::now();
        match (before, contact) {
            (_, Contact::Lost) => {
                let events = self.instances.host_contact(host, true, now);
                self.queue(events);
                if let job::Phase::Connecting | job::Phase::Launching { .. } = self.state.phase {
                    let code = a2arun_core::exit_code::LauncherCode::HostUnreachable;
                    let text = "lost: nothing was heard of it for 10 s".to_owned();
                    self.note_failure(host, text, Told::NotYet);
                    self.queue([Event::SessionFailed { host, code }]);
                }
                self.settle();
            }
            (Contact::Lost, Contact::Good | Contact::Suspect) => {
                let events = self.instances.host_contact(host, false, now);
                self.queue(events);
                self.settle();
            }
            (Contact::Good | Contact::Suspect, Contact::Good | Contact::Suspect) => {}
        }
    }

    fn refused(&mut self, host: HostIx, reason: RefusedReason, message: &str, ranks: &[Rank]) {
        use a2arun_core::exit_code::LauncherCode;
        let code = match reason {
            RefusedReason::Capacity => LauncherCode::Capacity,
            RefusedReason::Version => LauncherCode::HostUnreachable,
            RefusedReason::Stale | RefusedReason::Invalid | RefusedReason::Failed => {
                LauncherCode::Internal
            }
        };
        let now = Timestamp::now();
        self.note_failure(host, message.to_owned(), Told::NotYet);
        // The refusal is the cause; the instances that never were are no news of their own.
        self.queue([Event::StageFailed { host, code }]);
        self.settle();
        for rank in ranks {
            let moved = self.instances.refused(*rank, message, now);
            self.queue(moved.events);
        }
        self.settle();
    }

    /// Only the first counts.
    pub(super) fn note_failure(&mut self, host: HostIx, text: String, told: Told) {
        self.host_failure.get_or_insert(HostFailure { host, text, told });
    }

    pub(super) fn new_host(&mut self, host: Host) {
        self.hosts.0.push(host);
    }

    /// Ports that a host has to give.
    pub(super) fn ports_wanted(&self, host: HostIx) -> Vec<PortRequest> {
        self.instances.on_host(host).iter().flat_map(|rank| self.ports_of(*rank)).collect()
    }

    /// The ports of an instance as they were planned.
    pub(super) fn ports_of(&self, rank: Rank) -> Vec<PortRequest> {
        let plan = &self.job.plan;
        let instance = plan.instance(rank);
        let main = match instance.port {
            PlannedPort::None => None,
            PlannedPort::Auto => Some(None),
            PlannedPort::Fixed(port) => Some(Some(port)),
        };
        let main = main.map(|fixed| PortRequest { rank, name: MAIN_PORT.to_owned(), fixed });
        let named = plan.agent(instance.agent).ports.iter().enumerate();
        let named =
            named.filter(|(_, (_, port))| *port != PortSpec::None).map(|(at, (name, _))| {
                PortRequest { rank, name: name.clone(), fixed: plan.named_port(rank, at) }
            });
        main.into_iter().chain(named).collect()
    }
}
