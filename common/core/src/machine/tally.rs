//! Counts over all mirrors: turns what one instance did into what the job has to know.
//!
//! One event costs the same for 4 and for 100,000 instances; nothing is scanned.

use std::collections::BTreeMap;

use crate::ids::Rank;
use crate::launch::Lifecycle;
use crate::machine::job::{AgentChange, Event, OnFailure, Role, Rules, is_failure};
use crate::machine::mirror;
use crate::plan::{Plan, StageIx};
use crate::spec::{DependsOn, JobSpec};
use crate::status::InstanceState;

/// The counts of a job.
#[derive(Debug, Clone)]
pub struct Tally {
    seats: Vec<Seat>,
    /// Instances of each stage that are neither ready nor ended. Those that only have to be started
    /// (`depends_on: started`) are waited for until they are, and until they are ready in the last
    /// stage.
    waiting: Vec<u32>,
    /// Instances per displayed state.
    shown: BTreeMap<InstanceState, u32>,
    /// Assigned and not ended.
    live: u32,
    /// Live services that were ready and are not now.
    degraded: u32,
    survivors: u32,
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    role: Role,
    stage: StageIx,
    /// The last stage, where its own does not wait until it is ready.
    ready_in: Option<StageIx>,
    /// It was started, or ended, and its own stage waited for that.
    passed: bool,
    /// Somebody waits for its end (`depends_on: completed`): being ready is not enough.
    awaited_end: bool,
    shown: InstanceState,
    /// It was ready, or ended.
    arrived: bool,
    degraded: bool,
    live: bool,
    given_up: bool,
}

impl Tally {
    /// Everybody pending.
    pub fn new(spec: &JobSpec, plan: &Plan) -> Self {
        let mut waiting = vec![0; plan.stages.len()];
        let ends_with = spec.execution.ends_with;
        let mut awaited = vec![false; spec.agents.len()];
        for agent in &spec.agents {
            for (on, how) in &agent.depends_on {
                awaited[on.get()] |= *how == DependsOn::Completed;
            }
        }
        let started = only_started(spec, plan);
        let last = u32::try_from(plan.stages.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let seats: Vec<Seat> = plan
            .instances
            .iter()
            .map(|i| {
                waiting[i.stage.get()] += 1;
                let early = started[i.agent.get()] && i.stage.0 < last;
                if early {
                    waiting[StageIx(last).get()] += 1;
                }
                Seat {
                    role: Role {
                        // One that others wait for prepares them: its end is not the job's.
                        lifecycle: match awaited[i.agent.get()] {
                            true => Lifecycle::Service,
                            false => spec.agent(i.agent).lifecycle,
                        },
                        ends_job: ends_with == Some(i.agent),
                        needed: awaited[i.agent.get()],
                    },
                    stage: i.stage,
                    ready_in: early.then_some(StageIx(last)),
                    passed: false,
                    awaited_end: awaited[i.agent.get()],
                    shown: InstanceState::Pending,
                    arrived: false,
                    degraded: false,
                    live: false,
                    given_up: false,
                }
            })
            .collect();
        let shown = BTreeMap::from([(InstanceState::Pending, plan.size())]);
        Self { seats, waiting, shown, live: 0, degraded: 0, survivors: 0 }
    }

    /// Takes a mirror's new state; gives the job's events, in order. Ranks of no instance give
    /// none.
    pub fn moved(&mut self, rank: Rank, now: &mirror::State) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(seat) = self.seats.get_mut(rank.0 as usize) else { return events };
        let (before, after) = (seat.shown, now.shown());
        if before == InstanceState::Exited && now.end().is_some() {
            return events;
        }
        seat.shown = after;
        if let Some(count) = self.shown.get_mut(&before) {
            *count = count.saturating_sub(1);
        }
        *self.shown.entry(after).or_default() += 1;

        let is_live = !matches!(after, InstanceState::Pending | InstanceState::Exited);
        match (seat.live, is_live) {
            (false, true) if !seat.given_up => {
                seat.live = true;
                self.live += 1;
            }
            (true, false) => {
                seat.live = false;
                self.live -= 1;
            }
            (false, _) | (true, true) => {}
        }

        let mut arrived = Vec::new();
        let mut arrive = |stage: StageIx| {
            let waiting = &mut self.waiting[stage.get()];
            *waiting -= 1;
            arrived.extend((*waiting == 0).then_some(Event::StageReady { stage }));
        };
        let is_started = match after {
            InstanceState::Pending | InstanceState::Assigned | InstanceState::Lost => false,
            InstanceState::Starting
            | InstanceState::Ready
            | InstanceState::Unready
            | InstanceState::Stopping
            | InstanceState::Backoff
            | InstanceState::Exited => true,
        };
        if seat.ready_in.is_some() && is_started && !seat.passed {
            seat.passed = true;
            arrive(seat.stage);
        }
        let is_ready = after == InstanceState::Ready && !seat.awaited_end;
        let is_there = is_ready || now.end().is_some();
        if is_there && !seat.arrived {
            seat.arrived = true;
            arrive(seat.ready_in.unwrap_or(seat.stage));
        }

        let sick = match after {
            InstanceState::Unready | InstanceState::Backoff | InstanceState::Lost => true,
            InstanceState::Starting => seat.arrived,
            InstanceState::Pending
            | InstanceState::Assigned
            | InstanceState::Ready
            | InstanceState::Stopping
            | InstanceState::Exited => false,
        };
        let change = match (seat.degraded, sick) {
            (false, true) => {
                self.degraded += 1;
                (self.degraded == 1).then_some(AgentChange::Degraded)
            }
            (true, false) => {
                self.degraded -= 1;
                (self.degraded == 0).then_some(AgentChange::Recovered)
            }
            (false, false) | (true, true) => None,
        };
        seat.degraded = sick;
        let role = seat.role;
        let changed = |change| Event::AgentChanged { rank, role, change };

        match now.end() {
            None => {
                events.extend(arrived);
                events.extend(change.map(changed));
            }
            Some(end) => {
                self.survivors = self.survivors.saturating_add(end.survivors);
                let ended = changed(AgentChange::Ended(end));
                // A failure is told before the stage that it lets pass, an orderly end behind it:
                // so a failure never looks like a launch that worked, and the end of the last
                // task never like one that did not.
                if is_failure(&end) {
                    events.push(ended);
                    events.extend(arrived);
                } else {
                    events.extend(arrived);
                    events.push(ended);
                }
                events.extend(change.map(changed));
                events.extend(self.terminal());
            }
        }
        events
    }

    /// Counts an instance whose host is away for good as over, fate unknown.
    pub fn give_up(&mut self, rank: Rank) -> Vec<Event> {
        let Some(seat) = self.seats.get_mut(rank.0 as usize) else { return Vec::new() };
        seat.given_up = true;
        if !seat.live {
            return Vec::new();
        }
        seat.live = false;
        self.live -= 1;
        self.terminal().into_iter().collect()
    }

    /// `StageReady` where everybody in a stage is there. To be asked when a stage is launched.
    pub fn stage_ready(&self, stage: StageIx) -> Option<Event> {
        let waiting = self.waiting.get(stage.get()).copied()?;
        (waiting == 0).then_some(Event::StageReady { stage })
    }

    /// `AllAgentsTerminal` where nobody is live. To be asked once when a cleanup begins: it may
    /// begin before anybody was launched; and when a head that took over finds its job running.
    pub fn terminal(&self) -> Option<Event> {
        (self.live == 0).then_some(Event::AllAgentsTerminal { survivors: self.survivors })
    }

    /// How many instances are in a displayed state.
    pub fn count(&self, state: InstanceState) -> u32 {
        self.shown.get(&state).copied().unwrap_or(0)
    }

    /// How many were assigned and have not ended.
    pub fn live(&self) -> u32 {
        self.live
    }

    /// The rules of the job machine for this job.
    pub fn rules(&self, on_failure: OnFailure) -> Rules {
        let tasks = self.seats.iter().filter(|s| s.role.lifecycle == Lifecycle::Task).count();
        let ends = self.seats.iter().filter(|s| s.role.ends_job).count();
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Rules {
            stages: narrow(self.waiting.len()),
            tasks: narrow(tasks),
            ends_with: narrow(ends),
            on_failure,
        }
    }
}

/// Agents of which nobody wants more than that they are started.
fn only_started(spec: &JobSpec, plan: &Plan) -> Vec<bool> {
    let mut only = vec![false; spec.agents.len()];
    let mut more = vec![false; spec.agents.len()];
    for (on, how) in spec.agents.iter().flat_map(|agent| &agent.depends_on) {
        match how {
            DependsOn::Started => only[on.get()] = true,
            DependsOn::Ready | DependsOn::Completed => more[on.get()] = true,
        }
    }
    // Whoever is next to it in the topology waits, by strategy, until it is ready.
    for edge in plan.wiring.edges() {
        more[edge.from.get()] = true;
        more[edge.to.get()] = true;
    }
    only.into_iter().zip(more).map(|(only, more)| only && !more).collect()
}
