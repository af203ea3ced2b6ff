//! The head's session with one host's noded. It knows no sockets: it is told what happened and
//! says what to do.
//!
//! ```text
//! Absent ─Dial─▶ Bootstrapping ─Connected─▶ Handshaking ─HandshakeOk─▶ Up ⇄ Suspect
//!    └────Dial─▶ Connecting{n} ─Connected─▶     │                       │      │
//!                 ▲   └ StreamEnded, 3 times ─▶ Lost ◀── StreamEnded ───┴──────┘ (or 10 misses)
//!                 └──────────── Dial ───────────┘ │
//! Handshaking ─HandshakeRefused─▶ Rejected        └ any ─DrainRequested─▶ Draining | Closed
//! ```
//!
//! `Lost` triggers nothing by itself but the attempts to come back; how it is shown depends on
//! its age ([`State::shown`]).

use std::time::Duration;

use jiff::Timestamp;

use crate::machine::IllegalTransition;

/// Dials of a host that was never reached, or was lost, before it is given up for now.
pub const DIALS_MAX: u32 = 3;
/// Heartbeats are asked for once in this time.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Missed heartbeats, one a second, until a host is shown as suspect.
pub const SUSPECT_AFTER: u32 = 3;
/// Missed heartbeats until it is lost.
pub const LOST_AFTER: u32 = 10;

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nobody has dialled.
    Absent,
    /// A noded is being brought there or started.
    Bootstrapping,
    /// The n-th dial is out.
    Connecting {
        /// From 1.
        attempt: u32,
    },
    /// Connected; names and versions are being checked.
    Handshaking,
    /// It works.
    Up {
        /// Rises with each handshake.
        epoch: u64,
    },
    /// Heartbeats are missing.
    Suspect {
        /// Of the last handshake.
        epoch: u64,
        /// In a row.
        missed: u32,
    },
    /// No contact.
    Lost {
        /// Since when.
        since: Timestamp,
    },
    /// Asked to finish.
    Draining,
    /// The host does not want us. Final.
    Rejected {
        /// Its words.
        reason: String,
    },
    /// Over. Final.
    Closed,
}

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Its noded must be brought there or started first.
    Bootstrap,
    /// It is there.
    Connect,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The session is wanted.
    Dial(Reach),
    /// A connection is there.
    Connected,
    /// Both sides agree.
    HandshakeOk {
        /// noded's count of sessions of this run.
        epoch: u64,
    },
    /// The other side does not.
    HandshakeRefused {
        /// Its words.
        reason: String,
    },
    /// Anything was heard.
    Heartbeat,
    /// Nothing was heard for [`HEARTBEAT_EVERY`].
    HeartbeatMissed,
    /// The connection is gone, or could not be made.
    StreamEnded,
    /// The job is over.
    DrainRequested,
    /// Everything was handed over.
    DrainDone,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Bring or start noded, then say `Connected` or `StreamEnded`.
    Bootstrap,
    /// Dial, after the back-off of this attempt.
    Connect {
        /// From 1; the first is made at once.
        attempt: u32,
    },
    /// Exchange names and versions.
    Handshake,
    /// Tell the job that the host is there; its instances resume.
    ReportUp,
    /// Show the host as suspect.
    ReportSuspect,
    /// Tell the job that there is no contact.
    ReportLost,
    /// Tell the job that the host refused.
    ReportRejected,
    /// Fetch what is left, then say `DrainDone`.
    Drain,
    /// Close the connection.
    Disconnect,
}

/// What a user sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Not reached yet.
    Connecting,
    /// All well, or away for less than 3 s.
    Up,
    /// Away for 3 s.
    Suspect,
    /// Away for 10 s.
    Lost,
    /// Refused.
    Rejected,
    /// Over.
    Closed,
}

impl State {
    /// The state's name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent => "Absent",
            Self::Bootstrapping => "Bootstrapping",
            Self::Connecting { .. } => "Connecting",
            Self::Handshaking => "Handshaking",
            Self::Up { .. } => "Up",
            Self::Suspect { .. } => "Suspect",
            Self::Lost { .. } => "Lost",
            Self::Draining => "Draining",
            Self::Rejected { .. } => "Rejected",
            Self::Closed => "Closed",
        }
    }

    /// Whether requests can be sent.
    pub fn is_active(&self) -> bool {
        match self {
            Self::Up { .. } | Self::Suspect { .. } | Self::Draining => true,
            Self::Absent
            | Self::Bootstrapping
            | Self::Connecting { .. }
            | Self::Handshaking
            | Self::Lost { .. }
            | Self::Rejected { .. }
            | Self::Closed => false,
        }
    }

    /// Whether nothing will happen any more.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Rejected { .. } | Self::Closed => true,
            Self::Absent
            | Self::Bootstrapping
            | Self::Connecting { .. }
            | Self::Handshaking
            | Self::Up { .. }
            | Self::Suspect { .. }
            | Self::Lost { .. }
            | Self::Draining => false,
        }
    }

    /// What to show at `now`.
    pub fn shown(&self, now: Timestamp) -> Shown {
        match self {
            Self::Absent | Self::Bootstrapping | Self::Connecting { .. } | Self::Handshaking => {
                Shown::Connecting
            }
            Self::Suspect { missed, .. } => by_age(u64::from(*missed)),
            Self::Lost { since } => {
                by_age(u64::try_from(now.duration_since(*since).as_secs()).unwrap_or(0))
            }
            Self::Up { .. } | Self::Draining => Shown::Up,
            Self::Rejected { .. } => Shown::Rejected,
            Self::Closed => Shown::Closed,
        }
    }
}

fn by_age(seconds: u64) -> Shown {
    if seconds >= u64::from(LOST_AFTER) {
        Shown::Lost
    } else if seconds >= u64::from(SUSPECT_AFTER) {
        Shown::Suspect
    } else {
        Shown::Up
    }
}

impl Event {
    /// The event's name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dial(Reach::Bootstrap) => "Dial(bootstrap)",
            Self::Dial(Reach::Connect) => "Dial(connect)",
            Self::Connected => "Connected",
            Self::HandshakeOk { .. } => "HandshakeOk",
            Self::HandshakeRefused { .. } => "HandshakeRefused",
            Self::Heartbeat => "Heartbeat",
            Self::HeartbeatMissed => "HeartbeatMissed",
            Self::StreamEnded => "StreamEnded",
            Self::DrainRequested => "DrainRequested",
            Self::DrainDone => "DrainDone",
        }
    }
}

/// The next state and what to do.
pub fn advance(
    state: &State,
    event: Event,
    now: Timestamp,
) -> Result<(State, Vec<Effect>), IllegalTransition> {
    let illegal =
        IllegalTransition { machine: "session", state: state.name(), event: event.name() };
    match state {
        State::Absent | State::Lost { .. } => at_rest(state, event).ok_or(illegal),
        State::Bootstrapping | State::Connecting { .. } => {
            dialling(state, event, now).ok_or(illegal)
        }
        State::Handshaking => handshaking(event, now).ok_or(illegal),
        State::Up { epoch } => connected(*epoch, 0, event, now).ok_or(illegal),
        State::Suspect { epoch, missed } => connected(*epoch, *missed, event, now).ok_or(illegal),
        State::Draining => draining(event).ok_or(illegal),
        State::Rejected { .. } | State::Closed => finished(state, event).ok_or(illegal),
    }
}

type Next = Option<(State, Vec<Effect>)>;

fn at_rest(state: &State, event: Event) -> Next {
    match event {
        Event::Dial(Reach::Bootstrap) => Some((State::Bootstrapping, vec![Effect::Bootstrap])),
        Event::Dial(Reach::Connect) => {
            Some((State::Connecting { attempt: 1 }, vec![Effect::Connect { attempt: 1 }]))
        }
        Event::DrainRequested => Some((State::Closed, vec![])),
        // What was under way when contact broke off may still be told.
        Event::Heartbeat | Event::HeartbeatMissed | Event::StreamEnded | Event::DrainDone
            if *state != State::Absent =>
        {
            Some((state.clone(), vec![]))
        }
        Event::Connected
        | Event::HandshakeOk { .. }
        | Event::HandshakeRefused { .. }
        | Event::Heartbeat
        | Event::HeartbeatMissed
        | Event::StreamEnded
        | Event::DrainDone => None,
    }
}

fn dialling(state: &State, event: Event, now: Timestamp) -> Next {
    match event {
        Event::Dial(_) => Some((state.clone(), vec![])),
        Event::Connected => Some((State::Handshaking, vec![Effect::Handshake])),
        Event::StreamEnded => match state {
            State::Connecting { attempt } if *attempt < DIALS_MAX => {
                let attempt = attempt + 1;
                Some((State::Connecting { attempt }, vec![Effect::Connect { attempt }]))
            }
            State::Absent
            | State::Bootstrapping
            | State::Connecting { .. }
            | State::Handshaking
            | State::Up { .. }
            | State::Suspect { .. }
            | State::Lost { .. }
            | State::Draining
            | State::Rejected { .. }
            | State::Closed => Some((State::Lost { since: now }, vec![Effect::ReportLost])),
        },
        // ssh answers before there is anything to shake hands with.
        Event::HandshakeRefused { reason } => Some(rejected(reason)),
        Event::DrainRequested => Some((State::Closed, vec![Effect::Disconnect])),
        Event::HandshakeOk { .. }
        | Event::Heartbeat
        | Event::HeartbeatMissed
        | Event::DrainDone => None,
    }
}

fn handshaking(event: Event, now: Timestamp) -> Next {
    match event {
        Event::HandshakeOk { epoch } => Some((State::Up { epoch }, vec![Effect::ReportUp])),
        Event::HandshakeRefused { reason } => Some(rejected(reason)),
        Event::StreamEnded => Some((State::Lost { since: now }, vec![Effect::ReportLost])),
        Event::DrainRequested => Some((State::Closed, vec![Effect::Disconnect])),
        Event::Dial(_) | Event::Heartbeat => Some((State::Handshaking, vec![])),
        Event::Connected | Event::HeartbeatMissed | Event::DrainDone => None,
    }
}

fn connected(epoch: u64, missed: u32, event: Event, now: Timestamp) -> Next {
    let same = if missed == 0 { State::Up { epoch } } else { State::Suspect { epoch, missed } };
    match event {
        Event::Heartbeat => Some((State::Up { epoch }, vec![])),
        Event::HeartbeatMissed => {
            let missed = missed + 1;
            let effects = match missed {
                LOST_AFTER => {
                    let effects = vec![Effect::ReportLost, Effect::Disconnect];
                    return Some((State::Lost { since: now }, effects));
                }
                SUSPECT_AFTER => vec![Effect::ReportSuspect],
                _ => vec![],
            };
            Some((State::Suspect { epoch, missed }, effects))
        }
        Event::StreamEnded => Some((State::Lost { since: now }, vec![Effect::ReportLost])),
        Event::HandshakeRefused { reason } => Some(rejected(reason)),
        Event::DrainRequested => Some((State::Draining, vec![Effect::Drain])),
        Event::Dial(_) => Some((same, vec![])),
        Event::Connected | Event::HandshakeOk { .. } | Event::DrainDone => None,
    }
}

fn draining(event: Event) -> Next {
    match event {
        Event::DrainDone => Some((State::Closed, vec![Effect::Disconnect])),
        Event::StreamEnded => Some((State::Closed, vec![Effect::ReportLost])),
        Event::HandshakeRefused { reason } => Some(rejected(reason)),
        Event::Dial(_) | Event::Heartbeat | Event::HeartbeatMissed | Event::DrainRequested => {
            Some((State::Draining, vec![]))
        }
        Event::Connected | Event::HandshakeOk { .. } => None,
    }
}

fn finished(state: &State, event: Event) -> Next {
    match event {
        Event::Dial(_) | Event::HandshakeOk { .. } => None,
        // A dial that was under way may still succeed; its connection is not wanted.
        Event::Connected => Some((state.clone(), vec![Effect::Disconnect])),
        Event::HandshakeRefused { .. }
        | Event::Heartbeat
        | Event::HeartbeatMissed
        | Event::StreamEnded
        | Event::DrainRequested
        | Event::DrainDone => Some((state.clone(), vec![])),
    }
}

fn rejected(reason: String) -> (State, Vec<Effect>) {
    (State::Rejected { reason }, vec![Effect::ReportRejected, Effect::Disconnect])
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
