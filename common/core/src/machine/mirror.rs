//! The head's mirror of one instance: what its step said last, and whether that can be believed.
//!
//! ```text
//! Pending ─Assigned─▶ Assigned ─Reported─▶ At{seen} ─Reported─▶ At{seen'}
//!                        │                   │  ▲
//!                        └───SessionLost──▶ Lost │ Reported | SessionResumed
//!                                            └───┘
//! ```
//!
//! Reports carry the incarnation and a number that rises within it; older ones are dropped.
//! `Lost` is shown and triggers nothing. What has ended stays ended when its host is lost.

use jiff::Timestamp;

use crate::ids::Incarnation;
use crate::launch::SignalNumber;
use crate::machine::IllegalTransition;
use crate::outcome::{ExitReason, ExitRecord, StopCause};
use crate::status::InstanceState;

/// What a step says of its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Spawned, not ready.
    Starting,
    /// Ready; a task: exec'ed.
    Ready,
    /// Was ready, is not now.
    Unready,
    /// Asked to stop.
    Stopping,
    /// Waits for its restart.
    Backoff,
    /// Ended; no restart follows.
    Exited(End),
}

/// The end of an instance, as far as decisions need it. The record itself is kept elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: ExitReason,
    /// The exit code.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<SignalNumber>,
    /// Who asked for it.
    pub asked_by: Option<StopCause>,
    /// What `a2arun` ends with if this is the first failure.
    pub exit_code: u8,
    /// Processes of its tree that are still there.
    pub survivors: u32,
}

impl From<&ExitRecord> for End {
    fn from(record: &ExitRecord) -> Self {
        Self {
            reason: record.reason,
            code: record.code,
            signal: record.signal,
            asked_by: record.asked_by,
            exit_code: crate::exit_code::of_failure(record),
            survivors: u32::try_from(record.survivors.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Where the mirror stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Planned.
    Pending,
    /// Its host was told.
    Assigned,
    /// The last report.
    At(Report),
    /// No contact with its host.
    Lost {
        /// Since when.
        since: Timestamp,
        /// The last report, if there was any.
        last: Option<Report>,
    },
}

/// One report of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Which spawn.
    pub incarnation: Incarnation,
    /// Rises within the incarnation.
    pub seq: u64,
    /// What it says.
    pub seen: Seen,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The launch was sent.
    Assigned,
    /// A report came.
    Reported(Report),
    /// The session of its host is lost.
    SessionLost,
    /// It is back. What changed meanwhile is reported behind it.
    SessionResumed,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Count and show the new state.
    Changed {
        /// Before.
        from: InstanceState,
        /// Now.
        to: InstanceState,
    },
}

impl State {
    /// The displayed state.
    pub fn shown(&self) -> InstanceState {
        match self {
            Self::Pending => InstanceState::Pending,
            Self::Assigned => InstanceState::Assigned,
            Self::At(report) => report.seen.shown(),
            Self::Lost { .. } => InstanceState::Lost,
        }
    }

    /// The last report, believed or not.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Pending | Self::Assigned => None,
            Self::At(report) => Some(report),
            Self::Lost { last, .. } => last.as_ref(),
        }
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        match self {
            Self::At(Report { seen: Seen::Exited(end), .. }) => Some(*end),
            Self::At(_) | Self::Pending | Self::Assigned | Self::Lost { .. } => None,
        }
    }

    /// The state's name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Assigned => "Assigned",
            Self::At(report) => match report.seen {
                Seen::Exited(_) => "At(Exited)",
                Seen::Starting | Seen::Ready | Seen::Unready | Seen::Stopping | Seen::Backoff => {
                    "At"
                }
            },
            Self::Lost { .. } => "Lost",
        }
    }
}

impl Seen {
    /// The displayed state.
    pub fn shown(&self) -> InstanceState {
        match self {
            Self::Starting => InstanceState::Starting,
            Self::Ready => InstanceState::Ready,
            Self::Unready => InstanceState::Unready,
            Self::Stopping => InstanceState::Stopping,
            Self::Backoff => InstanceState::Backoff,
            Self::Exited(_) => InstanceState::Exited,
        }
    }
}

impl Event {
    /// The event's name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Assigned => "Assigned",
            Self::Reported(_) => "Reported",
            Self::SessionLost => "SessionLost",
            Self::SessionResumed => "SessionResumed",
        }
    }
}

/// The next state and what to do. No event is illegal here: a head that takes over sees reports
/// of instances that it never assigned, and sessions come and go at any time.
pub fn advance(
    state: &State,
    event: Event,
    now: Timestamp,
) -> Result<(State, Vec<Effect>), IllegalTransition> {
    let next = match (state, event) {
        (State::Pending, Event::Assigned) => State::Assigned,
        (_, Event::Reported(report)) if is_newer(state, &report) => State::At(report),
        (State::Lost { last: Some(last), .. }, Event::Reported(_)) => State::At(*last),
        (State::Assigned, Event::SessionLost) => State::Lost { since: now, last: None },
        (State::At(report), Event::SessionLost) if state.end().is_none() => {
            State::Lost { since: now, last: Some(*report) }
        }
        (State::Lost { last, .. }, Event::SessionResumed) => match last {
            Some(report) => State::At(*report),
            None => State::Assigned,
        },
        (
            State::Pending | State::Assigned | State::At(_) | State::Lost { .. },
            Event::Assigned | Event::Reported(_) | Event::SessionLost | Event::SessionResumed,
        ) => *state,
    };
    let (from, to) = (state.shown(), next.shown());
    let effects = if next == *state { vec![] } else { vec![Effect::Changed { from, to }] };
    Ok((next, effects))
}

fn is_newer(state: &State, report: &Report) -> bool {
    state.report().is_none_or(|old| (report.incarnation, report.seq) > (old.incarnation, old.seq))
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
