//! The transitions of [`crate::machine::job`].

use jiff::Timestamp;

use crate::exit_code::LauncherCode;
use crate::ids::Rank;
use crate::launch::Lifecycle;
use crate::machine::IllegalTransition;
use crate::machine::job::{
    AgentChange, Cause, Effect, Event, Failure, JobResult, OnFailure, Phase, Role, State, StopBy,
    is_failure,
};
use crate::machine::mirror::End;
use crate::outcome::{ExitReason, StopCause};
use crate::plan::{HostIx, StageIx};
use crate::result::Origin;

type Next = Option<(State, Vec<Effect>)>;

/// The next state and what to do.
pub fn advance(
    state: &State,
    event: Event,
    now: Timestamp,
) -> Result<(State, Vec<Effect>), IllegalTransition> {
    let illegal = IllegalTransition { machine: "job", state: state.name(), event: event.name() };
    match state.phase {
        Phase::New | Phase::Allocated | Phase::Mapped => before_launch(state, event),
        Phase::Connecting => connecting(state, event, now),
        Phase::Launching { stage } => launching(state, stage, event, now),
        Phase::Running | Phase::Degraded => running(state, event, now),
        Phase::Cleanup { cause, asked } => cleanup(state, cause, asked, event, now),
        Phase::Inactive { .. } => inactive(state, event),
    }
    .ok_or(illegal)
}

fn at(state: &State, phase: Phase) -> State {
    State { phase, ..*state }
}

/// Nobody was told anything: such a job ends at once.
fn before_launch(state: &State, event: Event) -> Next {
    match (event, state.phase) {
        (Event::HostsKnown, Phase::New) => {
            Some((at(state, Phase::Allocated), vec![Effect::MakePlan]))
        }
        (Event::PlanReady(rules), Phase::Allocated) => {
            let (tasks_left, ends_left) = (rules.tasks, rules.ends_with);
            Some((State { phase: Phase::Mapped, rules, tasks_left, ends_left, ..*state }, vec![]))
        }
        (Event::LaunchRequested, Phase::Mapped) => {
            Some((at(state, Phase::Connecting), vec![Effect::ConnectHosts]))
        }
        (Event::StopRequested(by), _) => Some(finish(state, Cause::Canceled(by), 0)),
        (Event::WallTime, _) => Some(finish(state, Cause::TimedOut, 0)),
        (
            Event::HostsKnown
            | Event::PlanReady(_)
            | Event::LaunchRequested
            | Event::AllSessionsUp
            | Event::SessionFailed { .. }
            | Event::StageReady { .. }
            | Event::EdgesProven
            | Event::StageFailed { .. }
            | Event::AgentChanged { .. }
            | Event::AskFailed { .. }
            | Event::AllAgentsTerminal { .. },
            _,
        ) => None,
    }
}

fn connecting(state: &State, event: Event, now: Timestamp) -> Next {
    match event {
        Event::AllSessionsUp => {
            let stage = StageIx(0);
            Some((at(state, Phase::Launching { stage }), vec![Effect::LaunchStage { stage }]))
        }
        Event::SessionFailed { host, code } | Event::StageFailed { host, code } => {
            Some(host_failed(state, host, code, now))
        }
        Event::StopRequested(by) => Some(stop(state, Cause::Canceled(by), now)),
        Event::WallTime => Some(stop(state, Cause::TimedOut, now)),
        // A new head that takes over hears of instances before it has reached every host.
        Event::AgentChanged { rank, role, change } => Some(changed(state, rank, role, change, now)),
        Event::StageReady { .. } | Event::AllAgentsTerminal { .. } => Some((*state, vec![])),
        Event::HostsKnown
        | Event::PlanReady(_)
        | Event::LaunchRequested
        | Event::EdgesProven
        | Event::AskFailed { .. } => None,
    }
}

fn launching(state: &State, stage: StageIx, event: Event, now: Timestamp) -> Next {
    match event {
        // Of an earlier stage, or, where a head took over, of one that is asked about later.
        Event::StageReady { stage: ready } if ready != stage => Some((*state, vec![])),
        Event::StageReady { .. } => {
            let next = StageIx(stage.0 + 1);
            if next.0 < state.rules.stages {
                let phase = Phase::Launching { stage: next };
                return Some((at(state, phase), vec![Effect::LaunchStage { stage: next }]));
            }
            Some((*state, vec![Effect::ProveEdges]))
        }
        Event::EdgesProven if stage.0 + 1 == state.rules.stages => {
            let phase = if state.unwell { Phase::Degraded } else { Phase::Running };
            Some((at(state, phase), vec![Effect::AnnounceReady]))
        }
        // Of a head that took over in an earlier stage.
        Event::EdgesProven => Some((*state, vec![])),
        Event::SessionFailed { host, code } | Event::StageFailed { host, code } => {
            Some(host_failed(state, host, code, now))
        }
        Event::AgentChanged { rank, role, change } => Some(changed(state, rank, role, change, now)),
        Event::StopRequested(by) => Some(stop(state, Cause::Canceled(by), now)),
        Event::WallTime => Some(stop(state, Cause::TimedOut, now)),
        // Everybody of the stages so far has ended; the next stage is on its way.
        Event::AllAgentsTerminal { .. } => Some((*state, vec![])),
        Event::HostsKnown
        | Event::PlanReady(_)
        | Event::LaunchRequested
        | Event::AskFailed { .. }
        | Event::AllSessionsUp => None,
    }
}

fn running(state: &State, event: Event, now: Timestamp) -> Next {
    match event {
        Event::AgentChanged { rank, role, change } => Some(changed(state, rank, role, change, now)),
        Event::AskFailed { host, code } => {
            let failure = of_host(host, code, now);
            let mut next = *state;
            next.first.get_or_insert(failure);
            Some(stop(&next, Cause::Failed(failure), now))
        }
        Event::StopRequested(by) => Some(stop(state, Cause::Canceled(by), now)),
        Event::WallTime => Some(stop(state, Cause::TimedOut, now)),
        Event::AllAgentsTerminal { survivors } => Some(finish(state, Cause::Complete, survivors)),
        // A lost host triggers nothing (`on_host_lost: wait`): its instances are shown as lost.
        Event::SessionFailed { .. }
        | Event::StageReady { .. }
        | Event::EdgesProven
        | Event::AllSessionsUp => Some((*state, vec![])),
        Event::HostsKnown
        | Event::PlanReady(_)
        | Event::LaunchRequested
        | Event::StageFailed { .. } => None,
    }
}

fn cleanup(
    state: &State,
    cause: Cause,
    asked: Option<Timestamp>,
    event: Event,
    now: Timestamp,
) -> Next {
    match event {
        Event::StopRequested(by) if state.kills(by, now) => {
            Some((at(state, Phase::Cleanup { cause, asked: Some(now) }), vec![Effect::KillAll]))
        }
        Event::StopRequested(_) => {
            Some((at(state, Phase::Cleanup { cause, asked: asked.or(Some(now)) }), vec![]))
        }
        Event::AllAgentsTerminal { survivors } => Some(finish(state, cause, survivors)),
        // The cause stands: what ends now ends because we take the job down.
        Event::AgentChanged { .. }
        | Event::StageReady { .. }
        | Event::EdgesProven
        | Event::AskFailed { .. }
        | Event::StageFailed { .. }
        | Event::SessionFailed { .. }
        | Event::AllSessionsUp
        | Event::WallTime => Some((*state, vec![])),
        Event::HostsKnown | Event::PlanReady(_) | Event::LaunchRequested => None,
    }
}

fn inactive(state: &State, event: Event) -> Next {
    match event {
        Event::AgentChanged { .. }
        | Event::StageReady { .. }
        | Event::EdgesProven
        | Event::AskFailed { .. }
        | Event::StageFailed { .. }
        | Event::SessionFailed { .. }
        | Event::AllSessionsUp
        | Event::WallTime
        | Event::StopRequested(_)
        | Event::AllAgentsTerminal { .. } => Some((*state, vec![])),
        Event::HostsKnown | Event::PlanReady(_) | Event::LaunchRequested => None,
    }
}

/// An instance did something in a phase that acts on it.
fn changed(
    state: &State,
    rank: Rank,
    role: Role,
    change: AgentChange,
    now: Timestamp,
) -> (State, Vec<Effect>) {
    let shown = |unwell, phase| (State { phase, unwell, ..*state }, vec![]);
    let is_up = match state.phase {
        Phase::Running | Phase::Degraded => true,
        Phase::New
        | Phase::Allocated
        | Phase::Mapped
        | Phase::Connecting
        | Phase::Launching { .. }
        | Phase::Cleanup { .. }
        | Phase::Inactive { .. } => false,
    };
    match change {
        AgentChange::Degraded => shown(true, if is_up { Phase::Degraded } else { state.phase }),
        AgentChange::Recovered => shown(false, if is_up { Phase::Running } else { state.phase }),
        AgentChange::Ended(end) => ended(state, rank, role, end, now),
    }
}

/// An instance ended for good.
fn ended(state: &State, rank: Rank, role: Role, end: End, now: Timestamp) -> (State, Vec<Effect>) {
    let mut next = *state;
    match role.lifecycle {
        Lifecycle::Task => next.tasks_left = next.tasks_left.saturating_sub(1),
        Lifecycle::Service => {}
    }
    if role.ends_job {
        next.ends_left = next.ends_left.saturating_sub(1);
    }
    if is_failure(&end) {
        let failure = failure_of(rank, &end, now);
        next.first.get_or_insert(failure);
        if role.ends_job {
            next.first_of_ends.get_or_insert(failure);
        }
        match state.rules.on_failure {
            OnFailure::Stop => return stop(&next, failure_cause(state, &end, failure), now),
            // What waits for it can never start.
            OnFailure::Continue if role.needed && is_launching(state) => {
                return stop(&next, failure_cause(state, &end, failure), now);
            }
            OnFailure::Continue => {}
        }
    }
    let complete = if next.rules.ends_with > 0 {
        next.ends_left == 0
    } else {
        next.rules.tasks > 0 && next.tasks_left == 0
    };
    if complete { stop(&next, Cause::Complete, now) } else { (next, vec![]) }
}

fn is_launching(state: &State) -> bool {
    match state.phase {
        Phase::Launching { .. } => true,
        Phase::New
        | Phase::Allocated
        | Phase::Mapped
        | Phase::Connecting
        | Phase::Running
        | Phase::Degraded
        | Phase::Cleanup { .. }
        | Phase::Inactive { .. } => false,
    }
}

fn failure_of(rank: Rank, end: &End, when: Timestamp) -> Failure {
    let rank = Some(rank);
    let origin = match end.reason {
        ExitReason::StartTimeout | ExitReason::HostLost | ExitReason::Unknown => Origin::Launcher,
        ExitReason::Completed
        | ExitReason::Failed
        | ExitReason::Signaled
        | ExitReason::Oom
        | ExitReason::Stopped
        | ExitReason::GraceKilled
        | ExitReason::LivenessFailed
        | ExitReason::SpawnFailed
        | ExitReason::ExitedBeforeReady
        | ExitReason::Exhausted => Origin::Agent,
    };
    let stopped_for_us = match end.asked_by {
        Some(StopCause::HeadGone | StopCause::NodedGone) => true,
        None
        | Some(StopCause::User | StopCause::Job | StopCause::StartTimeout | StopCause::WallTime) => {
            false
        }
    };
    if stopped_for_us {
        let exit_code = LauncherCode::HostUnreachable.code();
        return Failure { rank, host: None, origin: Origin::Launcher, exit_code, when };
    }
    Failure { rank, host: None, origin, exit_code: end.exit_code, when }
}

/// A launch failed where an instance never was what it should become; a task that ran and failed
/// did not fail to launch.
fn failure_cause(state: &State, end: &End, failure: Failure) -> Cause {
    let never_up = match end.reason {
        ExitReason::StartTimeout | ExitReason::SpawnFailed | ExitReason::ExitedBeforeReady => true,
        ExitReason::Completed
        | ExitReason::Failed
        | ExitReason::Signaled
        | ExitReason::Oom
        | ExitReason::Stopped
        | ExitReason::GraceKilled
        | ExitReason::LivenessFailed
        | ExitReason::Exhausted
        | ExitReason::HostLost
        | ExitReason::Unknown => false,
    };
    match state.phase {
        Phase::Launching { .. } if never_up => Cause::LaunchFailed(failure),
        Phase::New
        | Phase::Allocated
        | Phase::Mapped
        | Phase::Connecting
        | Phase::Launching { .. }
        | Phase::Running
        | Phase::Degraded
        | Phase::Cleanup { .. }
        | Phase::Inactive { .. } => Cause::Failed(failure),
    }
}

fn of_host(host: HostIx, code: LauncherCode, when: Timestamp) -> Failure {
    let exit_code = code.code();
    Failure { rank: None, host: Some(host), origin: Origin::Launcher, exit_code, when }
}

fn host_failed(
    state: &State,
    host: HostIx,
    code: LauncherCode,
    when: Timestamp,
) -> (State, Vec<Effect>) {
    let failure = of_host(host, code, when);
    let mut next = *state;
    next.first.get_or_insert(failure);
    stop(&next, Cause::LaunchFailed(failure), when)
}

fn stop(state: &State, cause: Cause, now: Timestamp) -> (State, Vec<Effect>) {
    let (asked_by, asked) = match cause {
        Cause::Complete | Cause::Failed(_) | Cause::LaunchFailed(_) => (StopCause::Job, None),
        Cause::Canceled(StopBy::Done) => (StopCause::Job, None),
        Cause::Canceled(
            StopBy::Interrupt | StopBy::Terminate | StopBy::Request | StopBy::RequestNow,
        ) => (StopCause::User, Some(now)),
        Cause::TimedOut => (StopCause::WallTime, None),
    };
    let mut effects = vec![Effect::StopAll { asked_by }];
    if cause == Cause::Canceled(StopBy::RequestNow) {
        effects.push(Effect::KillAll);
    }
    (at(state, Phase::Cleanup { cause, asked }), effects)
}

fn finish(state: &State, cause: Cause, survivors: u32) -> (State, Vec<Effect>) {
    let (result, code) = match cause {
        Cause::Complete => match completed_with(state) {
            None => (JobResult::Completed, 0),
            Some(first) => (JobResult::Failed { first }, first.exit_code),
        },
        Cause::Failed(first) => (JobResult::Failed { first }, first.exit_code),
        Cause::LaunchFailed(first) => (JobResult::LaunchFailed { first }, first.exit_code),
        // It has what it came for.
        Cause::Canceled(StopBy::Done) => (JobResult::Completed, LauncherCode::Ok.code()),
        Cause::Canceled(by) => (JobResult::Canceled, canceled_code(by)),
        Cause::TimedOut => (JobResult::TimedOut, LauncherCode::TimedOut.code()),
    };
    // A command that leaves processes behind has failed, whatever else went well.
    let exit_code = if survivors > 0 && code == 0 { LauncherCode::Internal.code() } else { code };
    (at(state, Phase::Inactive { result, exit_code }), vec![Effect::Finish])
}

/// With `ends_with` its code is ours; without, the first failure's.
fn completed_with(state: &State) -> Option<Failure> {
    if state.rules.ends_with > 0 && state.ends_left == 0 {
        state.first_of_ends
    } else {
        state.first
    }
}

fn canceled_code(by: StopBy) -> u8 {
    match by {
        StopBy::Interrupt => LauncherCode::Interrupted.code(),
        StopBy::Terminate | StopBy::Request | StopBy::RequestNow => LauncherCode::Terminated.code(),
        StopBy::Done => LauncherCode::Ok.code(),
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
