//! An instance, as its step drives it.
//!
//! ```text
//!            Spawned                ProbePassed            ProbeFailed
//!  Starting ────────▶ Starting ───────────────▶ Ready ◀──────────────▶ Unready
//!     │ SpawnFailed       │                       │    ProbePassed       │
//!     ▼                   │ StopRequested, StartupDeadline, OrphanElapsed, ChildExited
//!   Exited ◀── tree empty ┴──────────────▶ Stopping ◀────────────────────┘
//! ```
//!
//! An instance has ended when its leader was reaped, nothing of its tree is left, and its pipes
//! are closed or the leak limit has passed. Restarts (`Backoff`) and host leases join this
//! machine with the work that builds them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::launch::{Lifecycle, SignalNumber, StopPolicy};
use crate::outcome::{ExitReason, StopCause, WaitStatus};

/// A point on the step's clock, from an arbitrary start.
pub type Now = Duration;

/// How long pipes may stay open after the tree is gone: somebody outside holds them.
pub const LEAK_LIMIT: Duration = Duration::from_secs(1);

/// What never changes over an incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Task or service.
    pub lifecycle: Lifecycle,
    /// How it is stopped.
    pub stop: StopPolicy,
    /// How long it may run without noded; `None`: for ever.
    pub noded_away: Option<Duration>,
}

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Being spawned, or spawned and not yet ready.
    Starting,
    /// Ready.
    Ready,
    /// Was ready; its probe fails.
    Unready,
    /// Going: asked to stop, or its leader has ended and the rest is swept.
    Stopping(Stopping),
    /// Over.
    Exited(Ended),
}

/// What is known while it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopping {
    /// Who asked; `None`: the leader ended by itself.
    pub cause: Option<StopCause>,
    /// Whether it was ready before.
    pub was_ready: bool,
    /// When everything left is killed.
    pub kill_at: Now,
    /// Whether that has happened.
    pub killed: bool,
    /// How the leader ended, once it did.
    pub status: Option<WaitStatus>,
    /// Whether anything of the tree may be left.
    pub tree: Tree,
    /// Whether both pipes are at their end.
    pub pipes_closed: bool,
}

/// What is known of the leader's descendants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// Somebody may be left.
    Alive,
    /// Nobody is left, since then.
    Gone(Now),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: ExitReason,
    /// What the kernel said of the leader; `None`: it never ran.
    pub status: Option<WaitStatus>,
    /// Who asked for it.
    pub cause: Option<StopCause>,
}

/// What happens to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// exec succeeded.
    Spawned,
    /// It could not be started.
    SpawnFailed,
    /// Readiness was seen.
    ProbePassed,
    /// Readiness is gone.
    ProbeFailed,
    /// Not ready in time.
    StartupDeadline,
    /// The leader was reaped, or is known to have ended.
    ChildExited(WaitStatus),
    /// Nothing of the tree is left.
    TreeGone,
    /// Both pipes are at their end.
    PipesClosed,
    /// Somebody wants it to stop; `grace` replaces the job file's.
    StopRequested {
        /// Who.
        cause: StopCause,
        /// From now to SIGKILL.
        grace: Option<Duration>,
    },
    /// `kill_at` or the leak limit has come.
    TimerElapsed,
    /// noded's connection is gone.
    NodedLost,
    /// noded is back.
    NodedBack,
    /// noded was away for too long.
    OrphanElapsed,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Tell noded: ready.
    ReportReady,
    /// Tell noded: stopping.
    ReportStopping(StopCause),
    /// Signal the group and the rest of the tree.
    Signal(SignalNumber),
    /// SIGKILL to everything, again and again until the tree is gone.
    KillTree,
    /// Raise `TimerElapsed` at this time; replaces an earlier one.
    SetTimer(Now),
    /// Raise `OrphanElapsed` at this time.
    SetOrphanTimer(Now),
    /// noded is back: no `OrphanElapsed`.
    ClearOrphanTimer,
    /// Write the exit record and report it.
    Finish(Ended),
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is not possible in state {state:?}")]
pub struct IllegalTransition {
    /// The state.
    pub state: State,
    /// The event.
    pub event: Event,
}

impl State {
    /// Whether nothing will happen any more.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Exited(_) => true,
            Self::Starting | Self::Ready | Self::Unready | Self::Stopping(_) => false,
        }
    }

    fn was_ready(&self) -> bool {
        match self {
            Self::Ready | Self::Unready => true,
            Self::Stopping(stopping) => stopping.was_ready,
            Self::Starting | Self::Exited(_) => false,
        }
    }
}

/// Moves an instance on.
///
/// # Errors
/// When the event cannot happen in this state: a defect of the caller.
pub fn advance(
    rules: &Rules,
    state: &State,
    event: Event,
    now: Now,
) -> Result<(State, Vec<Effect>), IllegalTransition> {
    use State as S;
    let stay = |effects| Ok((state.clone(), effects));
    let illegal = || Err(IllegalTransition { state: state.clone(), event });
    match (state, event) {
        // What can come at any time and changes no state.
        (S::Starting | S::Ready | S::Unready | S::Stopping(_), Event::NodedLost) => {
            stay(rules.noded_away.map(|d| Effect::SetOrphanTimer(now + d)).into_iter().collect())
        }
        (S::Starting | S::Ready | S::Unready | S::Stopping(_), Event::NodedBack) => {
            stay(vec![Effect::ClearOrphanTimer])
        }
        (S::Exited(_), Event::NodedLost | Event::NodedBack | Event::OrphanElapsed) => stay(vec![]),
        // A request that crossed the end on its way.
        (S::Exited(_), Event::StopRequested { .. } | Event::StartupDeadline) => stay(vec![]),
        (S::Exited(_), Event::ProbePassed | Event::ProbeFailed | Event::TimerElapsed) => {
            stay(vec![])
        }
        (
            S::Exited(_),
            Event::Spawned
            | Event::SpawnFailed
            | Event::ChildExited(_)
            | Event::TreeGone
            | Event::PipesClosed,
        ) => illegal(),

        (S::Starting, Event::Spawned) => stay(vec![]),
        (S::Starting, Event::SpawnFailed) => {
            let ended = Ended { reason: ExitReason::SpawnFailed, status: None, cause: None };
            Ok((S::Exited(ended), vec![Effect::Finish(ended)]))
        }
        (S::Ready | S::Unready | S::Stopping(_), Event::Spawned | Event::SpawnFailed) => illegal(),

        (S::Starting | S::Unready, Event::ProbePassed) => Ok((S::Ready, vec![Effect::ReportReady])),
        (S::Ready | S::Stopping(_), Event::ProbePassed) => stay(vec![]),
        (S::Ready, Event::ProbeFailed) => Ok((S::Unready, vec![])),
        (S::Starting | S::Unready | S::Stopping(_), Event::ProbeFailed) => stay(vec![]),

        (S::Starting, Event::StartupDeadline) => {
            Ok(begin_stop(rules, state, StopCause::StartTimeout, None, now))
        }
        (S::Ready | S::Unready | S::Stopping(_), Event::StartupDeadline) => stay(vec![]),
        (S::Starting | S::Ready | S::Unready, Event::OrphanElapsed) => {
            Ok(begin_stop(rules, state, StopCause::NodedGone, None, now))
        }
        (S::Stopping(_), Event::OrphanElapsed) => stay(vec![]),
        (S::Starting | S::Ready | S::Unready, Event::StopRequested { cause, grace }) => {
            Ok(begin_stop(rules, state, cause, grace, now))
        }
        (S::Stopping(stopping), Event::StopRequested { cause, grace }) => {
            Ok(hasten(rules, stopping, cause, grace, now))
        }

        (S::Starting | S::Ready | S::Unready, Event::ChildExited(status)) => {
            let stopping = Stopping {
                cause: None,
                was_ready: state.was_ready(),
                kill_at: now + rules.stop.grace,
                killed: false,
                status: Some(status),
                tree: Tree::Alive,
                pipes_closed: false,
            };
            // Whoever is left of the tree is asked to go, as systemd asks the rest of a unit.
            let effects =
                vec![Effect::Signal(rules.stop.signal), Effect::SetTimer(stopping.kill_at)];
            Ok((S::Stopping(stopping), effects))
        }
        (S::Stopping(stopping), Event::ChildExited(status)) => {
            let next = Stopping { status: stopping.status.or(Some(status)), ..stopping.clone() };
            Ok(settle(rules, next, now))
        }
        (S::Stopping(stopping), Event::TreeGone) => {
            let next = Stopping { tree: Tree::Gone(now), ..stopping.clone() };
            Ok(settle(rules, next, now))
        }
        (S::Stopping(stopping), Event::PipesClosed) => {
            Ok(settle(rules, Stopping { pipes_closed: true, ..stopping.clone() }, now))
        }
        // A daemon-like agent may close its outputs and live; nobody is gone yet.
        (S::Starting | S::Ready | S::Unready, Event::PipesClosed) => stay(vec![]),
        (S::Starting | S::Ready | S::Unready, Event::TreeGone | Event::TimerElapsed) => illegal(),
        (S::Stopping(stopping), Event::TimerElapsed) => Ok(timer(rules, stopping, now)),
    }
}

fn begin_stop(
    rules: &Rules,
    state: &State,
    cause: StopCause,
    grace: Option<Duration>,
    now: Now,
) -> (State, Vec<Effect>) {
    let grace = grace.unwrap_or(rules.stop.grace);
    let mut stopping = Stopping {
        cause: Some(cause),
        was_ready: state.was_ready(),
        kill_at: now + grace,
        killed: false,
        status: None,
        tree: Tree::Alive,
        pipes_closed: false,
    };
    let mut effects = vec![Effect::ReportStopping(cause)];
    if grace.is_zero() {
        stopping.killed = true;
        effects.push(Effect::KillTree);
    } else {
        effects.push(Effect::Signal(rules.stop.signal));
        effects.push(Effect::SetTimer(stopping.kill_at));
    }
    (State::Stopping(stopping), effects)
}

/// A second request shortens the grace and never lengthens it.
fn hasten(
    rules: &Rules,
    stopping: &Stopping,
    cause: StopCause,
    grace: Option<Duration>,
    now: Now,
) -> (State, Vec<Effect>) {
    let mut next = stopping.clone();
    // Said again even if it is known: whoever asks waits to hear that somebody is at it.
    let mut effects = vec![Effect::ReportStopping(cause)];
    // The leader may have ended by itself; what is asked of the rest is no cause of that.
    if next.status.is_none() && next.cause.is_none() {
        next.cause = Some(cause);
    }
    if matches!(next.tree, Tree::Gone(_)) {
        // Nobody is left to be hastened; only a leaked pipe is waited for.
        return (State::Stopping(next), effects);
    }
    next.kill_at = next.kill_at.min(now + grace.unwrap_or(rules.stop.grace));
    if next.kill_at <= now && !next.killed {
        next.killed = true;
        effects.push(Effect::KillTree);
    } else if !next.killed {
        effects.push(Effect::SetTimer(next.kill_at));
    }
    (State::Stopping(next), effects)
}

fn timer(rules: &Rules, stopping: &Stopping, now: Now) -> (State, Vec<Effect>) {
    let mut next = stopping.clone();
    if next.tree == Tree::Alive && !next.killed && next.kill_at <= now {
        next.killed = true;
        return (State::Stopping(next), vec![Effect::KillTree]);
    }
    settle(rules, next, now)
}

/// Ends an instance of which nothing is left, or says what is waited for.
fn settle(rules: &Rules, next: Stopping, now: Now) -> (State, Vec<Effect>) {
    let (Some(status), Tree::Gone(since)) = (next.status, next.tree) else {
        return (State::Stopping(next), vec![]);
    };
    if !next.pipes_closed && now < since + LEAK_LIMIT {
        return (State::Stopping(next), vec![Effect::SetTimer(since + LEAK_LIMIT)]);
    }
    let ended =
        Ended { reason: reason(rules, &next, status), status: Some(status), cause: next.cause };
    (State::Exited(ended), vec![Effect::Finish(ended)])
}

/// The end of an instance of which something is left that cannot be killed.
pub fn end_with_survivors(rules: &Rules, stopping: &Stopping) -> Ended {
    let (reason, status) = match stopping.status {
        Some(status) => (reason(rules, stopping, status), Some(status)),
        None => (ExitReason::GraceKilled, None),
    };
    Ended { reason, status, cause: stopping.cause }
}

fn reason(rules: &Rules, stopping: &Stopping, status: WaitStatus) -> ExitReason {
    match (stopping.cause, status) {
        (_, WaitStatus::Unknown) => ExitReason::Unknown,
        (Some(StopCause::StartTimeout), WaitStatus::Exited(_) | WaitStatus::Signaled(_)) => {
            ExitReason::StartTimeout
        }
        (Some(_), WaitStatus::Signaled(SignalNumber::KILL)) if stopping.killed => {
            ExitReason::GraceKilled
        }
        (Some(_), WaitStatus::Exited(_) | WaitStatus::Signaled(_)) => ExitReason::Stopped,
        (None, WaitStatus::Exited(_) | WaitStatus::Signaled(_))
            if rules.lifecycle == Lifecycle::Service && !stopping.was_ready =>
        {
            ExitReason::ExitedBeforeReady
        }
        (None, WaitStatus::Exited(0)) => ExitReason::Completed,
        (None, WaitStatus::Exited(_)) => ExitReason::Failed,
        (None, WaitStatus::Signaled(_)) => ExitReason::Signaled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(lifecycle: Lifecycle) -> Rules {
        Rules { lifecycle, stop: StopPolicy::default(), noded_away: Some(Duration::from_secs(60)) }
    }

    fn run(lifecycle: Lifecycle, events: &[(u64, Event)]) -> (State, Vec<Effect>) {
        let rules = rules(lifecycle);
        let mut state = State::Starting;
        let mut all = Vec::new();
        for (at, event) in events {
            let (next, effects) =
                advance(&rules, &state, *event, Duration::from_secs(*at)).unwrap();
            state = next;
            all.extend(effects);
        }
        (state, all)
    }

    fn reason_of(lifecycle: Lifecycle, events: &[(u64, Event)]) -> ExitReason {
        match run(lifecycle, events).0 {
            State::Exited(ended) => ended.reason,
            other => panic!("not over: {other:?}"),
        }
    }

    const STOP: Event = Event::StopRequested { cause: StopCause::User, grace: None };

    #[test]
    fn reasons() {
        use Lifecycle::{Service, Task};
        let exit = |code| Event::ChildExited(WaitStatus::Exited(code));
        let signal = |s| Event::ChildExited(WaitStatus::Signaled(SignalNumber(s)));
        let (gone, closed) = ((3, Event::TreeGone), (3, Event::PipesClosed));
        let spawned = (0, Event::Spawned);
        let ready = (1, Event::ProbePassed);
        let check = |lifecycle, events: &[(u64, Event)], want| {
            assert_eq!(reason_of(lifecycle, events), want, "{events:?}");
        };
        check(Task, &[spawned, ready, (2, exit(0)), gone, closed], ExitReason::Completed);
        check(Task, &[spawned, ready, (2, exit(3)), gone, closed], ExitReason::Failed);
        check(Task, &[spawned, ready, (2, signal(11)), closed, gone], ExitReason::Signaled);
        check(Service, &[spawned, (2, exit(0)), gone, closed], ExitReason::ExitedBeforeReady);
        check(Service, &[spawned, ready, (2, exit(0)), gone, closed], ExitReason::Completed);
        check(Task, &[spawned, (1, STOP), (2, exit(3)), gone, closed], ExitReason::Stopped);
        check(Task, &[spawned, (1, STOP), (2, signal(15)), gone, closed], ExitReason::Stopped);
        let late = (20, Event::TreeGone);
        check(
            Task,
            &[spawned, (1, STOP), (11, Event::TimerElapsed), (11, signal(9)), late, closed],
            ExitReason::GraceKilled,
        );
        check(
            Service,
            &[
                spawned,
                (9, Event::StartupDeadline),
                (9, signal(15)),
                (9, Event::TreeGone),
                (9, Event::PipesClosed),
            ],
            ExitReason::StartTimeout,
        );
        let unknown = Event::ChildExited(WaitStatus::Unknown);
        check(Task, &[spawned, (2, unknown), gone, closed], ExitReason::Unknown);
    }

    #[test]
    fn a_leaked_pipe_is_waited_for_one_second() {
        let events = [
            (0, Event::Spawned),
            (1, Event::ChildExited(WaitStatus::Exited(0))),
            (2, Event::TreeGone),
        ];
        let (state, effects) = run(Lifecycle::Task, &events);
        assert!(!state.is_terminal());
        assert_eq!(effects.last(), Some(&Effect::SetTimer(Duration::from_secs(3))));
        let (state, _) =
            advance(&rules(Lifecycle::Task), &state, Event::TimerElapsed, Duration::from_secs(3))
                .unwrap();
        assert!(state.is_terminal());
    }

    #[test]
    fn a_second_stop_shortens_and_never_lengthens() {
        let kill = Event::StopRequested { cause: StopCause::User, grace: Some(Duration::ZERO) };
        let (_, effects) = run(Lifecycle::Task, &[(0, Event::Spawned), (1, STOP), (2, kill)]);
        assert_eq!(effects.last(), Some(&Effect::KillTree));
        let long =
            Event::StopRequested { cause: StopCause::User, grace: Some(Duration::from_secs(99)) };
        let (state, _) = run(Lifecycle::Task, &[(0, Event::Spawned), (1, STOP), (2, long)]);
        match state {
            State::Stopping(stopping) => assert_eq!(stopping.kill_at, Duration::from_secs(11)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_table_is_total_and_as_documented() {
        let stopping = Stopping {
            cause: Some(StopCause::User),
            was_ready: true,
            kill_at: Duration::from_secs(5),
            killed: false,
            status: None,
            tree: Tree::Alive,
            pipes_closed: false,
        };
        let ended = Ended { reason: ExitReason::Completed, status: None, cause: None };
        let states = [
            ("Starting", State::Starting),
            ("Ready", State::Ready),
            ("Unready", State::Unready),
            ("Stopping", State::Stopping(stopping)),
            ("Exited", State::Exited(ended)),
        ];
        let events = [
            ("Spawned", Event::Spawned),
            ("SpawnFailed", Event::SpawnFailed),
            ("ProbePassed", Event::ProbePassed),
            ("ProbeFailed", Event::ProbeFailed),
            ("StartupDeadline", Event::StartupDeadline),
            ("ChildExited", Event::ChildExited(WaitStatus::Exited(0))),
            ("TreeGone", Event::TreeGone),
            ("PipesClosed", Event::PipesClosed),
            ("StopRequested", STOP),
            ("TimerElapsed", Event::TimerElapsed),
            ("NodedLost", Event::NodedLost),
            ("NodedBack", Event::NodedBack),
            ("OrphanElapsed", Event::OrphanElapsed),
        ];
        let mut table = String::new();
        for (event_name, event) in events {
            table.push_str(&format!("{event_name:<16}"));
            for (_, state) in &states {
                let next =
                    advance(&rules(Lifecycle::Service), state, event, Duration::from_secs(9));
                let cell = match next {
                    Err(_) => "-",
                    Ok((State::Starting, _)) => "Starting",
                    Ok((State::Ready, _)) => "Ready",
                    Ok((State::Unready, _)) => "Unready",
                    Ok((State::Stopping(_), _)) => "Stopping",
                    Ok((State::Exited(_), _)) => "Exited",
                };
                table.push_str(&format!("{cell:<10}"));
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        let documented = include_str!("../../../../docs/design/machines.md");
        assert!(documented.contains(&table), "docs/design/machines.md differs:\n{table}");
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Spawned),
            Just(Event::SpawnFailed),
            Just(Event::ProbePassed),
            Just(Event::ProbeFailed),
            Just(Event::StartupDeadline),
            (0..256i32).prop_map(|c| Event::ChildExited(WaitStatus::Exited(c))),
            (1..32i32).prop_map(|s| Event::ChildExited(WaitStatus::Signaled(SignalNumber(s)))),
            Just(Event::ChildExited(WaitStatus::Unknown)),
            Just(Event::TreeGone),
            Just(Event::PipesClosed),
            proptest::option::of(0u64..30).prop_map(|g| Event::StopRequested {
                cause: StopCause::User,
                grace: g.map(Duration::from_secs),
            }),
            Just(Event::TimerElapsed),
            Just(Event::NodedLost),
            Just(Event::NodedBack),
            Just(Event::OrphanElapsed),
        ]
    }

    proptest! {
        // Whatever happens in whatever order: it finishes at most once, and never before its
        // leader and its tree are gone.
        #[test]
        fn it_finishes_once_and_only_when_nothing_is_left(
            events in proptest::collection::vec((0u64..5, any_event()), 0..60)
        ) {
            let rules = rules(Lifecycle::Service);
            let (mut state, mut now) = (State::Starting, Duration::ZERO);
            let (mut finished, mut leader_gone, mut tree_gone) = (0, false, false);
            for (step, event) in events {
                now += Duration::from_secs(step);
                let Ok((next, effects)) = advance(&rules, &state, event, now) else { continue };
                match event {
                    Event::ChildExited(_) => leader_gone = true,
                    Event::TreeGone => tree_gone = true,
                    Event::SpawnFailed => (leader_gone, tree_gone) = (true, true),
                    _ => {}
                }
                finished += effects.iter().filter(|e| matches!(e, Effect::Finish(_))).count();
                prop_assert!(finished <= 1);
                prop_assert_eq!(next.is_terminal(), finished == 1);
                if finished == 1 {
                    prop_assert!(leader_gone && tree_gone);
                }
                state = next;
            }
        }
    }
}
