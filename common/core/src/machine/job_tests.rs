//! Tests of the job machine, alone and behind the tally.

use super::*;
use crate::ids::Incarnation;
use crate::launch::SignalNumber;
use crate::machine::job::{NEW, Rules};
use crate::machine::mirror::{self, Report, Seen};
use crate::machine::tally::Tally;
use crate::plan::{Hosts, PlanOptions, plan};
use crate::spec::{AgentIx, AgentSpec, DependsOn, JobSpec, Replicas, Strategy};
use crate::status::InstanceState;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn end(reason: ExitReason, exit_code: u8, asked_by: Option<StopCause>) -> End {
    End {
        reason,
        code: Some(i32::from(exit_code)),
        signal: None,
        asked_by,
        exit_code,
        survivors: 0,
    }
}

/// The head, in small: machine, tally and a mirror per rank.
struct Head {
    state: State,
    tally: Tally,
    mirrors: Vec<mirror::State>,
    seq: u64,
    told: Vec<String>,
}

impl Head {
    /// Agents as `task`, `service`, `task=3`; a later one calls the one before it.
    fn new(agents: &str, on_failure: OnFailure, ends_with: Option<u32>) -> Self {
        Self::with(agents, on_failure, ends_with, None)
    }

    /// The later one waits for the one before it.
    fn depending(agents: &str, how: DependsOn) -> Self {
        Self::with(agents, OnFailure::Stop, None, Some(how))
    }

    fn with(
        agents: &str,
        on_failure: OnFailure,
        ends_with: Option<u32>,
        depends: Option<DependsOn>,
    ) -> Self {
        let mut spec = JobSpec::program(vec!["x".to_owned()], None).unwrap();
        let base = spec.agents[0].clone();
        spec.agents = agents
            .split_whitespace()
            .enumerate()
            .map(|(n, word)| {
                let (kind, count) = word.split_once('=').unwrap_or((word, "1"));
                let lifecycle = if kind == "task" { Lifecycle::Task } else { Lifecycle::Service };
                let id = format!("a{n}").parse().unwrap();
                let replicas = Some(Replicas::Fixed(count.parse().unwrap()));
                AgentSpec { id, lifecycle, replicas, ..base.clone() }
            })
            .collect();
        spec.deployment.strategy = Strategy::Staged;
        let n = u32::try_from(spec.agents.len()).unwrap();
        spec.topology = crate::spec::Topology::Pipeline {
            stages: (0..n).rev().map(|i| vec![AgentIx(i)]).collect(),
        };
        spec.execution.ends_with = ends_with.map(AgentIx);
        if let Some(how) = depends {
            for (before, agent) in (0..n).zip(spec.agents.iter_mut().skip(1)) {
                agent.depends_on = vec![(AgentIx(before), how)];
            }
        }
        let plan =
            plan(&spec, &Hosts::Local("h".parse().unwrap()), &PlanOptions::default()).unwrap();
        let tally = Tally::new(&spec, &plan);
        let mut head = Self {
            state: NEW,
            mirrors: vec![mirror::State::Pending; plan.instances.len()],
            seq: 0,
            told: Vec::new(),
            tally,
        };
        let rules = head.tally.rules(on_failure);
        for event in [
            Event::HostsKnown,
            Event::PlanReady(rules),
            Event::LaunchRequested,
            Event::AllSessionsUp,
        ] {
            head.event(event);
        }
        head.assign(plan.stages.concat());
        head
    }

    fn assign(&mut self, ranks: Vec<Rank>) {
        for rank in ranks {
            self.mirror(rank, mirror::Event::Assigned);
        }
    }

    fn event(&mut self, event: Event) {
        self.event_at(event, NOW);
    }

    fn event_at(&mut self, event: Event, now: Timestamp) {
        let (state, effects) = advance(&self.state, event, now).unwrap();
        self.state = state;
        for effect in effects {
            self.told.push(format!("{effect:?}"));
            let due = match effect {
                Effect::StopAll { .. } => self.tally.terminal(),
                Effect::LaunchStage { stage } => self.tally.stage_ready(stage),
                Effect::ProveEdges => Some(Event::EdgesProven),
                Effect::MakePlan
                | Effect::ConnectHosts
                | Effect::AnnounceReady
                | Effect::KillAll
                | Effect::Finish => None,
            };
            due.into_iter().for_each(|event| self.event(event));
        }
    }

    fn mirror(&mut self, rank: Rank, event: mirror::Event) {
        let slot = &mut self.mirrors[rank.0 as usize];
        *slot = mirror::advance(slot, event, NOW).unwrap().0;
        for event in self.tally.moved(rank, &self.mirrors[rank.0 as usize]) {
            self.event(event);
        }
    }

    fn seen(&mut self, rank: u32, seen: Seen) {
        self.seq += 1;
        let report = Report { incarnation: Incarnation(1), seq: self.seq, seen };
        self.mirror(Rank(rank), mirror::Event::Reported(report));
    }

    fn exits(&mut self, rank: u32, code: u8) {
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Failed };
        self.seen(rank, Seen::Exited(end(reason, code, None)));
    }

    /// Everybody alive does what it was told.
    fn stopped(&mut self) {
        for rank in 0..u32::try_from(self.mirrors.len()).unwrap() {
            if self.mirrors[rank as usize].end().is_none() {
                let how = end(ExitReason::Stopped, 143, Some(StopCause::Job));
                self.seen(rank, Seen::Exited(how));
            }
        }
    }

    fn result(&self) -> (&'static str, u8) {
        let (result, code) = self.state.result().expect("the job is over");
        (result.word().as_str(), code)
    }
}

fn ready(head: &mut Head, ranks: std::ops::Range<u32>) {
    ranks.for_each(|r| head.seen(r, Seen::Ready));
}

#[test]
fn tasks_that_complete_end_the_job() {
    let mut head = Head::new("task=4", OnFailure::Stop, None);
    (0..4).for_each(|r| head.exits(r, 0));
    assert_eq!(head.result(), ("completed", 0));
    assert_eq!(
        head.told,
        [
            "MakePlan",
            "ConnectHosts",
            "LaunchStage { stage: StageIx(0) }",
            "ProveEdges",
            "AnnounceReady",
            "StopAll { asked_by: Job }",
            "Finish"
        ]
    );
}

#[test]
fn who_waits_for_an_end_is_not_started_by_readiness() {
    let mut head = Head::depending("task service", DependsOn::Completed);
    ready(&mut head, 0..1);
    assert_eq!(head.state.phase, Phase::Launching { stage: StageIx(0) });
    head.exits(0, 0);
    assert_eq!(head.state.phase, Phase::Launching { stage: StageIx(1) });
    // It prepared the service, which goes on.
    ready(&mut head, 1..2);
    assert_eq!(head.state.shown(), Some(JobState::Running));
    let mut head = Head::depending("task task", DependsOn::Completed);
    ready(&mut head, 0..1);
    head.exits(0, 0);
    assert_eq!(head.state.phase, Phase::Launching { stage: StageIx(1) });
    head.exits(1, 0);
    assert_eq!(head.result(), ("completed", 0));
}

#[test]
fn services_are_stopped_when_the_tasks_are_done() {
    let mut head = Head::new("service task", OnFailure::Stop, None);
    ready(&mut head, 0..2);
    assert_eq!(head.state.shown(), Some(JobState::Running));
    head.exits(1, 0);
    assert_eq!(head.state.shown(), Some(JobState::Cleanup));
    head.stopped();
    assert_eq!(head.result(), ("completed", 0));
}

#[test]
fn the_first_failure_stops_the_job_and_gives_the_code() {
    let mut head = Head::new("service task=2", OnFailure::Stop, None);
    ready(&mut head, 0..3);
    head.exits(2, 3);
    head.exits(1, 4);
    head.stopped();
    assert_eq!(head.result(), ("failed", 3));
    let (result, _) = head.state.result().unwrap();
    assert_eq!(result.first().and_then(|f| f.rank), Some(Rank(2)));
}

#[test]
fn a_task_that_fails_at_once_has_not_failed_to_launch() {
    let mut head = Head::new("task", OnFailure::Stop, None);
    head.exits(0, 7);
    assert_eq!(head.result(), ("failed", 7));
}

#[test]
fn what_never_comes_up_is_a_failed_launch() {
    let mut head = Head::new("service service", OnFailure::Stop, None);
    head.seen(0, Seen::Exited(end(ExitReason::SpawnFailed, 127, None)));
    head.stopped();
    assert_eq!(head.result(), ("launch-failed", 127));
    let late = end(ExitReason::StartTimeout, 75, Some(StopCause::StartTimeout));
    let mut head = Head::new("service", OnFailure::Stop, None);
    head.seen(0, Seen::Exited(late));
    assert_eq!(head.result(), ("launch-failed", 75));
}

#[test]
fn with_continue_the_others_finish() {
    let mut head = Head::new("task=3", OnFailure::Continue, None);
    head.exits(1, 5);
    head.exits(0, 6);
    assert!(!head.state.is_terminal());
    head.exits(2, 0);
    assert_eq!(head.result(), ("failed", 5));
}

#[test]
fn ends_with_ends_it_with_its_code() {
    let mut head = Head::new("service service", OnFailure::Stop, Some(1));
    ready(&mut head, 0..2);
    head.exits(1, 0);
    head.stopped();
    assert_eq!(head.result(), ("completed", 0));
    let mut head = Head::new("task service", OnFailure::Continue, Some(1));
    ready(&mut head, 0..2);
    head.exits(0, 9);
    assert!(!head.state.is_terminal());
    head.exits(1, 4);
    assert_eq!(head.result(), ("failed", 4));
}

#[test]
fn services_run_until_they_are_stopped_or_all_have_exited() {
    let mut head = Head::new("service=2", OnFailure::Stop, None);
    ready(&mut head, 0..2);
    head.exits(0, 0);
    assert_eq!(head.state.shown(), Some(JobState::Running));
    head.exits(1, 0);
    assert_eq!(head.result(), ("completed", 0));
}

#[test]
fn ctrl_c_stops_and_the_second_kills() {
    let mut head = Head::new("service", OnFailure::Stop, None);
    ready(&mut head, 0..1);
    head.event(Event::StopRequested(StopBy::Interrupt));
    assert_eq!(head.told.last().unwrap(), "StopAll { asked_by: User }");
    head.event(Event::StopRequested(StopBy::Interrupt));
    assert_eq!(head.told.last().unwrap(), "KillAll");
    head.stopped();
    assert_eq!(head.result(), ("canceled", 130));
    let mut head = Head::new("service", OnFailure::Stop, None);
    head.event(Event::WallTime);
    head.stopped();
    assert_eq!(head.result(), ("timed-out", 124));
}

/// What each of these stops brings, at so many milliseconds.
fn stops(wishes: &[(StopBy, i64)]) -> Vec<String> {
    let mut head = Head::new("service", OnFailure::Stop, None);
    ready(&mut head, 0..1);
    head.told.clear();
    for (by, at) in wishes {
        head.event_at(Event::StopRequested(*by), Timestamp::from_millisecond(*at).unwrap());
    }
    head.told
}

#[test]
fn one_wish_that_comes_twice_kills_nobody() {
    use StopBy::{Interrupt, Request, RequestNow, Terminate};
    let stop = "StopAll { asked_by: User }";
    assert_eq!(stops(&[(Terminate, 0), (Terminate, 3), (Terminate, 999)]), [stop]);
    assert_eq!(stops(&[(Terminate, 0), (Terminate, 1000)]), [stop, "KillAll"]);
    assert_eq!(stops(&[(Terminate, 0), (Interrupt, 1)]), [stop, "KillAll"]);
    assert_eq!(stops(&[(Request, 0), (Request, 5000)]), [stop]);
    assert_eq!(stops(&[(Request, 0), (RequestNow, 1)]), [stop, "KillAll"]);
    assert_eq!(stops(&[(RequestNow, 0)]), [stop, "KillAll"]);
}

#[test]
fn signals_that_we_sent_never_count_but_a_lost_head_does() {
    let mut head = Head::new("service=2", OnFailure::Stop, None);
    ready(&mut head, 0..2);
    let killed = End {
        signal: Some(SignalNumber::KILL),
        code: None,
        ..end(ExitReason::Signaled, 137, Some(StopCause::User))
    };
    head.seen(0, Seen::Exited(killed));
    assert_eq!(head.state.shown(), Some(JobState::Running));
    head.seen(1, Seen::Exited(end(ExitReason::Stopped, 143, Some(StopCause::HeadGone))));
    assert_eq!(head.result(), ("failed", 68));
}

#[test]
fn a_host_that_cannot_be_reached_fails_the_launch() {
    let mut head = Head::new("service", OnFailure::Stop, None);
    head.event(Event::SessionFailed { host: HostIx(0), code: LauncherCode::Refused });
    head.stopped();
    assert_eq!(head.result(), ("launch-failed", 77));
}

#[test]
fn survivors_make_a_command_fail() {
    let mut head = Head::new("task", OnFailure::Stop, None);
    head.seen(0, Seen::Exited(End { survivors: 1, ..end(ExitReason::Completed, 0, None) }));
    assert_eq!(head.result(), ("completed", 70));
}

#[test]
fn what_is_not_well_degrades_the_job_until_it_is() {
    let mut head = Head::new("service=2", OnFailure::Stop, None);
    ready(&mut head, 0..2);
    head.seen(0, Seen::Unready);
    head.mirror(Rank(1), mirror::Event::SessionLost);
    assert_eq!(head.state.shown(), Some(JobState::Degraded));
    head.seen(0, Seen::Ready);
    assert_eq!(head.state.shown(), Some(JobState::Degraded));
    head.mirror(Rank(1), mirror::Event::SessionResumed);
    assert_eq!(head.state.shown(), Some(JobState::Running));
    assert_eq!(head.tally.count(InstanceState::Ready), 2);
}

#[test]
fn stages_that_are_ready_early_are_not_waited_for() {
    let mut head = Head::new("service service service", OnFailure::Stop, None);
    head.seen(1, Seen::Ready);
    head.seen(2, Seen::Ready);
    assert_eq!(head.state.phase, Phase::Launching { stage: StageIx(0) });
    head.seen(1, Seen::Unready);
    head.seen(0, Seen::Ready);
    assert_eq!(head.state.shown(), Some(JobState::Degraded));
    head.seen(1, Seen::Ready);
    assert_eq!(head.state.shown(), Some(JobState::Running));
}

#[test]
fn hosts_that_stay_away_are_given_up_in_a_cleanup() {
    let mut head = Head::new("service", OnFailure::Stop, None);
    ready(&mut head, 0..1);
    head.mirror(Rank(0), mirror::Event::SessionLost);
    head.event(Event::StopRequested(StopBy::Terminate));
    assert!(!head.state.is_terminal());
    for event in head.tally.give_up(Rank(0)) {
        head.event(event);
    }
    assert_eq!(head.result(), ("canceled", 143));
}

#[test]
fn the_table() {
    let rules = Rules { stages: 2, tasks: 1, ends_with: 0, on_failure: OnFailure::Stop };
    let role = Role { lifecycle: Lifecycle::Task, ends_job: false, needed: false };
    let changed = |change| Event::AgentChanged { rank: Rank(0), role, change };
    let events = [
        ("HostsKnown", Event::HostsKnown),
        ("PlanReady", Event::PlanReady(rules)),
        ("LaunchRequested", Event::LaunchRequested),
        ("AllSessionsUp", Event::AllSessionsUp),
        (
            "SessionFailed",
            Event::SessionFailed { host: HostIx(0), code: LauncherCode::HostUnreachable },
        ),
        ("StageReady(0)", Event::StageReady { stage: StageIx(0) }),
        ("StageReady(1)", Event::StageReady { stage: StageIx(1) }),
        ("EdgesProven", Event::EdgesProven),
        ("StageFailed", Event::StageFailed { host: HostIx(0), code: LauncherCode::Capacity }),
        ("Degraded", changed(AgentChange::Degraded)),
        ("Recovered", changed(AgentChange::Recovered)),
        ("Ended(0)", changed(AgentChange::Ended(end(ExitReason::Completed, 0, None)))),
        ("Ended(3)", changed(AgentChange::Ended(end(ExitReason::Failed, 3, None)))),
        ("AskFailed", Event::AskFailed { host: HostIx(0), code: LauncherCode::AgentFailed }),
        ("StopRequested", Event::StopRequested(StopBy::Interrupt)),
        ("WallTime", Event::WallTime),
        ("AllAgentsTerminal", Event::AllAgentsTerminal { survivors: 0 }),
    ];
    let cause = Cause::Canceled(StopBy::Interrupt);
    let phases = [
        Phase::New,
        Phase::Allocated,
        Phase::Mapped,
        Phase::Connecting,
        Phase::Launching { stage: StageIx(0) },
        Phase::Launching { stage: StageIx(1) },
        Phase::Running,
        Phase::Degraded,
        Phase::Cleanup { cause, asked: Some(NOW) },
        Phase::Inactive { result: JobResult::Canceled, exit_code: 130 },
    ];
    let word = |s: &State| match s.phase {
        Phase::Launching { stage } => format!("Launching({})", stage.0),
        Phase::Inactive { result, exit_code } => {
            format!("Inactive({}, {exit_code})", result.word().as_str())
        }
        Phase::New
        | Phase::Allocated
        | Phase::Mapped
        | Phase::Connecting
        | Phase::Running
        | Phase::Degraded
        | Phase::Cleanup { .. } => s.name().to_owned(),
    };
    let mut table = String::new();
    for phase in phases {
        let state = State { phase, rules, tasks_left: 1, ..NEW };
        table += &format!("{}\n", word(&state));
        for (name, event) in events {
            match advance(&state, event, NOW) {
                Ok((next, effects)) if next == state && effects.is_empty() => {}
                Ok((next, effects)) => {
                    table += &format!("  {name} -> {} {effects:?}\n", word(&next));
                }
                Err(_) => table += &format!("  {name} illegal\n"),
            }
        }
    }
    insta::assert_snapshot!(table, @r#"
New
  HostsKnown -> Allocated [MakePlan]
  PlanReady illegal
  LaunchRequested illegal
  AllSessionsUp illegal
  SessionFailed illegal
  StageReady(0) illegal
  StageReady(1) illegal
  EdgesProven illegal
  StageFailed illegal
  Degraded illegal
  Recovered illegal
  Ended(0) illegal
  Ended(3) illegal
  AskFailed illegal
  StopRequested -> Inactive(canceled, 130) [Finish]
  WallTime -> Inactive(timed-out, 124) [Finish]
  AllAgentsTerminal illegal
Allocated
  HostsKnown illegal
  PlanReady -> Mapped []
  LaunchRequested illegal
  AllSessionsUp illegal
  SessionFailed illegal
  StageReady(0) illegal
  StageReady(1) illegal
  EdgesProven illegal
  StageFailed illegal
  Degraded illegal
  Recovered illegal
  Ended(0) illegal
  Ended(3) illegal
  AskFailed illegal
  StopRequested -> Inactive(canceled, 130) [Finish]
  WallTime -> Inactive(timed-out, 124) [Finish]
  AllAgentsTerminal illegal
Mapped
  HostsKnown illegal
  PlanReady illegal
  LaunchRequested -> Connecting [ConnectHosts]
  AllSessionsUp illegal
  SessionFailed illegal
  StageReady(0) illegal
  StageReady(1) illegal
  EdgesProven illegal
  StageFailed illegal
  Degraded illegal
  Recovered illegal
  Ended(0) illegal
  Ended(3) illegal
  AskFailed illegal
  StopRequested -> Inactive(canceled, 130) [Finish]
  WallTime -> Inactive(timed-out, 124) [Finish]
  AllAgentsTerminal illegal
Connecting
  HostsKnown illegal
  PlanReady illegal
  LaunchRequested illegal
  AllSessionsUp -> Launching(0) [LaunchStage { stage: StageIx(0) }]
  SessionFailed -> Cleanup [StopAll { asked_by: Job }]
  EdgesProven illegal
  StageFailed -> Cleanup [StopAll { asked_by: Job }]
  Degraded -> Connecting []
  Ended(0) -> Cleanup [StopAll { asked_by: Job }]
  Ended(3) -> Cleanup [StopAll { asked_by: Job }]
  AskFailed illegal
  StopRequested -> Cleanup [StopAll { asked_by: User }]
  WallTime -> Cleanup [StopAll { asked_by: WallTime }]
Launching(0)
  HostsKnown illegal
  PlanReady illegal
  LaunchRequested illegal
  AllSessionsUp illegal
  SessionFailed -> Cleanup [StopAll { asked_by: Job }]
  StageReady(0) -> Launching(1) [LaunchStage { stage: StageIx(1) }]
  StageFailed -> Cleanup [StopAll { asked_by: Job }]
  Degraded -> Launching(0) []
  Ended(0) -> Cleanup [StopAll { asked_by: Job }]
  Ended(3) -> Cleanup [StopAll { asked_by: Job }]
  AskFailed illegal
  StopRequested -> Cleanup [StopAll { asked_by: User }]
  WallTime -> Cleanup [StopAll { asked_by: WallTime }]
Launching(1)
  HostsKnown illegal
  PlanReady illegal
  LaunchRequested illegal
  AllSessionsUp illegal
  SessionFailed -> Cleanup [StopAll { asked_by: Job }]
  StageReady(1) -> Launching(1) [ProveEdges]
  EdgesProven -> Running [AnnounceReady]
  StageFailed -> Cleanup [StopAll { asked_by: Job }]
  Degraded -> Launching(1) []
  Ended(0) -> Cleanup [StopAll { asked_by: Job }]
  Ended(3) -> Cleanup [StopAll { asked_by: Job }]
  AskFailed illegal
  StopRequested -> Cleanup [StopAll { asked_by: User }]
  WallTime -> Cleanup [StopAll { asked_by: WallTime }]
Running
  HostsKnown illegal
  PlanReady illegal
  LaunchRequested illegal
  StageFailed illegal
  Degraded -> Degraded []
  Ended(0) -> Cleanup [StopAll { asked_by: Job }]
  Ended(3) -> Cleanup [StopAll { asked_by: Job }]
  AskFailed -> Cleanup [StopAll { asked_by: Job }]
  StopRequested -> Cleanup [StopAll { asked_by: User }]
  WallTime -> Cleanup [StopAll { asked_by: WallTime }]
  AllAgentsTerminal -> Inactive(completed, 0) [Finish]
Degraded
  HostsKnown illegal
  PlanReady illegal
  LaunchRequested illegal
  StageFailed illegal
  Degraded -> Degraded []
  Recovered -> Running []
  Ended(0) -> Cleanup [StopAll { asked_by: Job }]
  Ended(3) -> Cleanup [StopAll { asked_by: Job }]
  AskFailed -> Cleanup [StopAll { asked_by: Job }]
  StopRequested -> Cleanup [StopAll { asked_by: User }]
  WallTime -> Cleanup [StopAll { asked_by: WallTime }]
  AllAgentsTerminal -> Inactive(completed, 0) [Finish]
Cleanup
  HostsKnown illegal
  PlanReady illegal
  LaunchRequested illegal
  StopRequested -> Cleanup [KillAll]
  AllAgentsTerminal -> Inactive(canceled, 130) [Finish]
Inactive(canceled, 130)
  HostsKnown illegal
  PlanReady illegal
  LaunchRequested illegal
"#);
}

proptest::proptest! {
    /// Whatever agents do, in whatever order: the job ends when all have, exactly once, with a
    /// code that some agent gave or 0.
    #[test]
    fn every_job_ends(
        codes in proptest::collection::vec(0..4_u8, 1..12),
        order in proptest::collection::vec(0..1000_u32, 12),
        tasks in 0..12_u32,
    ) {
        let n = u32::try_from(codes.len()).unwrap();
        let tasks = tasks.min(n);
        let agents = format!(
            "{} {}",
            if tasks > 0 { format!("task={tasks}") } else { String::new() },
            if n > tasks { format!("service={}", n - tasks) } else { String::new() },
        );
        let mut head = Head::new(&agents, OnFailure::Continue, None);
        let mut ranks: Vec<u32> = (0..n).collect();
        ranks.sort_by_key(|r| order[*r as usize]);
        ready(&mut head, 0..n);
        let mut first = 0;
        let mut left = tasks;
        for rank in ranks {
            let over = tasks > 0 && left == 0;
            head.exits(rank, codes[rank as usize]);
            if first == 0 && !over {
                first = codes[rank as usize];
            }
            left -= u32::from(rank < tasks);
        }
        proptest::prop_assert_eq!(head.result().1, first);
        proptest::prop_assert_eq!(head.told.iter().filter(|t| *t == "Finish").count(), 1);
        proptest::prop_assert_eq!(head.tally.live(), 0);
    }
}

use crate::machine::job::Cause;
use crate::status::JobState;
