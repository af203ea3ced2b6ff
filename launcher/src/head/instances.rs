//! Every instance as its host says it is, and what that means for the job.
//!
//! Reports come twice, late, or not at all: over a stream, and as a full list after each break.
//! Here both become the same thing, so that an end is never missed and never counted twice.

use std::sync::Arc;
use std::time::Duration;

use a2arun_core::ids::{Incarnation, Rank};
use a2arun_core::machine::job::Event;
use a2arun_core::machine::mirror::{self, Report};
use a2arun_core::machine::tally::Tally;
use a2arun_core::outcome::{ExitReason, ExitRecord};
use a2arun_core::plan::{HostIx, Plan, StageIx};
use a2arun_core::seen::Seen;
use a2arun_core::spec::JobSpec;
use a2arun_core::status::InstanceState;
use jiff::Timestamp;

use crate::session::{InstanceReport, PhaseReport};

/// One instance.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) mirror: mirror::State,
    pub(super) since: Option<Timestamp>,
    pub(super) pid: Option<i32>,
    pub(super) started: Option<Timestamp>,
    pub(super) ready: Option<Timestamp>,
    /// What was seen when it became ready.
    pub(super) seen: Option<Box<Seen>>,
    pub(super) exit: Option<(Incarnation, Box<ExitRecord>)>,
    /// What its probe saw last, while it is not ready.
    pub(super) probe: Option<String>,
    /// Its launch was refused: it never was.
    pub(super) refused: bool,
    /// An earlier incarnation that was started anew, with its output in bytes: nothing more is
    /// heard of it.
    pub(super) retired: Option<(Incarnation, u64, u64)>,
    live: bool,
}

/// What is said of an instance.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    Spawned { pid: i32, at: Option<Timestamp> },
    Ready { seen: Option<Box<Seen>>, after: Option<Duration>, at: Option<Timestamp> },
    Unready(String),
    Stopping,
    Backoff,
    Exited(Box<ExitRecord>),
}

/// What changed, for the job and for people.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) events: Vec<Event>,
    /// It is new: say it.
    pub(super) news: Vec<(Rank, News)>,
}

/// All of them, by rank.
#[derive(Debug)]
pub(super) struct Instances {
    plan: Arc<Plan>,
    list: Vec<Instance>,
    tally: Tally,
    live_by_stage: Vec<u32>,
    by_host: Vec<Vec<Rank>>,
}

impl Instances {
    pub(super) fn new(spec: &JobSpec, plan: &Arc<Plan>) -> Self {
        let pending = Instance {
            mirror: mirror::State::Pending,
            since: None,
            pid: None,
            started: None,
            ready: None,
            seen: None,
            exit: None,
            probe: None,
            refused: false,
            retired: None,
            live: false,
        };
        Self {
            plan: plan.clone(),
            list: vec![pending; plan.instances.len()],
            tally: Tally::new(spec, plan),
            live_by_stage: vec![0; plan.stages.len()],
            by_host: plan.by_host(),
        }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn get(&self, rank: Rank) -> Option<&Instance> {
        self.list.get(rank.0 as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Rank, &Instance)> {
        self.plan.instances.iter().map(|i| i.rank).zip(&self.list)
    }

    pub(super) fn on_host(&self, host: HostIx) -> &[Rank] {
        self.by_host.get(host.get()).map_or(&[], Vec::as_slice)
    }

    /// Whether anybody of a stage was told to start and has not ended.
    pub(super) fn stage_is_live(&self, stage: StageIx) -> bool {
        self.live_by_stage.get(stage.get()).is_some_and(|n| *n > 0)
    }

    pub(super) fn is_live(&self, rank: Rank) -> bool {
        self.get(rank).is_some_and(|i| i.live)
    }

    /// A launch was sent.
    pub(super) fn assigned(&mut self, rank: Rank, now: Timestamp) -> Vec<Event> {
        match self.get(rank).map(|i| &i.mirror) {
            Some(mirror::State::Pending) => self.turn(rank, mirror::Event::Assigned, now),
            // Tried again on other ports.
            Some(_) | None => Vec::new(),
        }
    }

    /// A host has not been heard of for long, or is heard again.
    pub(super) fn host_contact(&mut self, host: HostIx, lost: bool, now: Timestamp) -> Vec<Event> {
        let event = if lost { mirror::Event::SessionLost } else { mirror::Event::SessionResumed };
        let ranks = self.on_host(host).to_vec();
        ranks.into_iter().flat_map(|rank| self.turn(rank, event, now)).collect()
    }

    /// One report of the stream.
    pub(super) fn heard(
        &mut self,
        rank: Rank,
        incarnation: Incarnation,
        news: News,
        now: Timestamp,
    ) -> Moved {
        let mut moved = Moved::default();
        self.apply(rank, incarnation, news, now, &mut moved);
        moved
    }

    /// A host's full list, after a break: what differs from what is known, in order of rank.
    pub(super) fn reconcile(
        &mut self,
        host: HostIx,
        reports: Vec<InstanceReport>,
        now: Timestamp,
    ) -> Moved {
        let mut moved = Moved { events: self.host_contact(host, false, now), news: Vec::new() };
        let mut known = vec![false; self.list.len()];
        for report in reports {
            if let Some(slot) = known.get_mut(report.rank.0 as usize) {
                *slot = true;
            }
            let (rank, incarnation) = (report.rank, report.incarnation);
            for news in steps(report) {
                self.apply(rank, incarnation, news, now, &mut moved);
            }
        }
        for rank in self.on_host(host).to_vec() {
            let Some(instance) = self.get(rank) else { continue };
            // A launch that was never heard of is on its way again; what was running and is not
            // known any more has ended, and nobody can say how.
            if let (false, true, Some(report)) =
                (known[rank.0 as usize], instance.live, instance.mirror.report())
            {
                let (incarnation, started) = (report.incarnation, instance.started);
                let record = forgotten(started, now);
                self.apply(rank, incarnation, News::Exited(Box::new(record)), now, &mut moved);
            }
        }
        moved
    }

    /// A launch was refused: the instance never was.
    pub(super) fn refused(&mut self, rank: Rank, why: &str, now: Timestamp) -> Moved {
        let mut incarnation = Incarnation(1);
        if let Some(instance) = self.list.get_mut(rank.0 as usize) {
            instance.refused = true;
            if let Some((last, ..)) = instance.retired {
                incarnation = Incarnation(last.0 + 1);
            }
        }
        let record = ExitRecord::spawn_failed(why.to_owned(), now);
        self.heard(rank, incarnation, News::Exited(Box::new(record)), now)
    }

    /// Its host is away for good: it counts as over.
    pub(super) fn give_up(&mut self, rank: Rank) -> Vec<Event> {
        if let Some(instance) = self.list.get_mut(rank.0 as usize)
            && std::mem::take(&mut instance.live)
        {
            self.live_by_stage[self.plan.instance(rank).stage.get()] -= 1;
        }
        self.tally.give_up(rank)
    }

    fn apply(
        &mut self,
        rank: Rank,
        incarnation: Incarnation,
        news: News,
        now: Timestamp,
        moved: &mut Moved,
    ) {
        let Some(instance) = self.list.get_mut(rank.0 as usize) else {
            tracing::warn!(%rank, "a host speaks of a rank that is not in the plan");
            return;
        };
        if instance.retired.is_some_and(|(last, ..)| incarnation <= last) {
            return;
        }
        let seen = seen_of(&news);
        let seq = match instance.mirror.report() {
            Some(last) if last.incarnation > incarnation => return,
            Some(last) if last.incarnation == incarnation => {
                let over = matches!(last.seen, mirror::Seen::Exited(_));
                if over || last.seen == seen || goes_back(last.seen, seen) {
                    return;
                }
                last.seq + 1
            }
            Some(_) | None => 0,
        };
        match &news {
            News::Spawned { pid, at } => {
                instance.pid = Some(*pid);
                instance.started = at.or(instance.started);
                instance.ready = None;
            }
            News::Ready { seen, at, .. } => {
                instance.ready = at.or(Some(now));
                instance.seen = seen.clone().or_else(|| instance.seen.take());
                instance.probe = None;
            }
            News::Unready(why) => instance.probe = Some(why.clone()),
            News::Exited(record) => {
                instance.pid = None;
                instance.started = record.started.or(instance.started);
                instance.ready = record.ready.or(instance.ready);
                instance.exit = Some((incarnation, record.clone()));
                instance.probe = None;
            }
            News::Stopping | News::Backoff => {}
        }
        moved.news.push((rank, news));
        let report = Report { incarnation, seq, seen };
        moved.events.extend(self.turn(rank, mirror::Event::Reported(report), now));
    }

    /// Moves one mirror and counts it.
    fn turn(&mut self, rank: Rank, event: mirror::Event, now: Timestamp) -> Vec<Event> {
        let Some(instance) = self.list.get_mut(rank.0 as usize) else { return Vec::new() };
        let (next, effects) = match mirror::advance(&instance.mirror, event, now) {
            Ok(moved) => moved,
            Err(error) => {
                tracing::error!(%rank, %error, "mirror");
                return Vec::new();
            }
        };
        instance.mirror = next;
        if effects.is_empty() {
            return Vec::new();
        }
        instance.since = Some(now);
        let live = !matches!(next.shown(), InstanceState::Pending | InstanceState::Exited);
        let stage = self.plan.instance(rank).stage.get();
        match (instance.live, live) {
            (false, true) => self.live_by_stage[stage] += 1,
            (true, false) => self.live_by_stage[stage] -= 1,
            (true, true) | (false, false) => {}
        }
        instance.live = live;
        self.tally.moved(rank, &next)
    }

    /// An instance that ended is started anew: its end is nobody's news.
    pub(super) fn retire(&mut self, rank: Rank, incarnation: Incarnation, record: &ExitRecord) {
        if let Some(instance) = self.list.get_mut(rank.0 as usize) {
            let (out, err) = (record.stdout_bytes, record.stderr_bytes);
            instance.retired = Some((incarnation, out, err));
            instance.pid = None;
        }
    }

    /// It is not started anew after all.
    pub(super) fn unretire(&mut self, rank: Rank) {
        if let Some(instance) = self.list.get_mut(rank.0 as usize) {
            instance.retired = None;
        }
    }

    pub(super) fn set_probe(&mut self, rank: Rank, text: String) {
        if let Some(instance) = self.list.get_mut(rank.0 as usize) {
            instance.probe = Some(text);
        }
    }
}

/// A stream after a break may repeat what a full list already told; only `Unready` leads back.
fn goes_back(last: mirror::Seen, seen: mirror::Seen) -> bool {
    match (last, seen) {
        (
            mirror::Seen::Ready | mirror::Seen::Unready | mirror::Seen::Stopping,
            mirror::Seen::Starting,
        )
        | (mirror::Seen::Stopping, mirror::Seen::Ready | mirror::Seen::Unready) => true,
        (
            mirror::Seen::Starting
            | mirror::Seen::Ready
            | mirror::Seen::Unready
            | mirror::Seen::Stopping
            | mirror::Seen::Backoff
            | mirror::Seen::Exited(_),
            _,
        ) => false,
    }
}

fn seen_of(news: &News) -> mirror::Seen {
    match news {
        News::Spawned { .. } => mirror::Seen::Starting,
        News::Ready { .. } => mirror::Seen::Ready,
        News::Unready(_) => mirror::Seen::Unready,
        News::Stopping => mirror::Seen::Stopping,
        News::Backoff => mirror::Seen::Backoff,
        News::Exited(record) => mirror::Seen::Exited(mirror::End::from(&**record)),
    }
}

/// What led to where an instance is: pid, readiness, then the phase.
fn steps(report: InstanceReport) -> Vec<News> {
    let mut steps = Vec::with_capacity(3);
    if let Some(pid) = report.pid {
        steps.push(News::Spawned { pid, at: report.started });
    }
    let ready = |at| News::Ready { seen: report.seen.clone().map(Box::new), after: None, at };
    match report.phase {
        PhaseReport::Starting => {}
        PhaseReport::Ready => steps.push(ready(report.ready)),
        PhaseReport::Unready => {
            steps.push(ready(report.ready));
            steps.push(News::Unready(report.last_look.clone().unwrap_or_default()));
        }
        PhaseReport::Stopping => {
            if report.ready.is_some() {
                steps.push(ready(report.ready));
            }
            steps.push(News::Stopping);
        }
        PhaseReport::Backoff => steps.push(News::Backoff),
        PhaseReport::Exited(record) => {
            if record.ready.is_some() {
                steps.push(ready(record.ready));
            }
            steps.push(News::Exited(record));
        }
    }
    steps
}

fn forgotten(started: Option<Timestamp>, now: Timestamp) -> ExitRecord {
    ExitRecord {
        reason: ExitReason::Unknown,
        started,
        detail: Some("its host came back without any record of it".to_owned()),
        ..ExitRecord::spawn_failed(String::new(), now)
    }
}

#[cfg(test)]
#[path = "instances_tests.rs"]
mod tests;
