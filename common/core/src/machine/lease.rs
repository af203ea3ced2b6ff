//! A run's head, seen from noded: who holds the run, and what happens when nobody does.
//!
//! ```text
//!          LeaseRequested              HeadClosed, HeadSilent
//!   Idle ────────────────▶ Leased ───────────────────────────▶ Orphaned ── LingerElapsed ─▶ stop
//!    ▲                       │  ▲        LeaseRequested           │
//!    └──── LeaseReleased ────┘  └────────────────────────────────┘
//! ```

use std::time::Duration;

use crate::launch::OrphanPolicy;

/// A point on noded's clock.
pub type Now = Duration;

/// One head's connection; a new one for each attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeadId(pub u64);

/// Who holds the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody, and nobody has to.
    Idle,
    /// A head is connected; it was last heard then.
    Leased {
        /// Which.
        head: HeadId,
        /// When it was last heard.
        heard: Now,
    },
    /// No head; the run stops at `stop_at`, if that is set.
    Orphaned {
        /// Since when.
        since: Now,
        /// When its instances are stopped.
        stop_at: Option<Now>,
    },
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A head attaches. The newest wins: it is the one that can still talk.
    LeaseRequested(HeadId),
    /// Something was heard from a head.
    LeaseRenewed(HeadId),
    /// The head has finished with the run.
    LeaseReleased(HeadId),
    /// The connection was closed under this noded's eyes.
    HeadClosed(HeadId),
    /// This noded has just started and has not seen the head yet.
    Recovered,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Look again at this time at the latest.
    TickAt(Now),
    /// Stop the run's instances: the head is gone.
    StopRun,
    /// Tell this head that another one has the run now.
    Displace(HeadId),
}

/// Moves a lease on. Events of a head that no longer holds the run change nothing.
pub fn advance(
    policy: &OrphanPolicy,
    state: &State,
    event: Event,
    now: Now,
) -> (State, Vec<Effect>) {
    let silent_at = |heard: Now| policy.head_silent.map(|limit| heard + limit);
    let leased = |head| {
        let effects = silent_at(now).map(Effect::TickAt).into_iter().collect::<Vec<_>>();
        (State::Leased { head, heard: now }, effects)
    };
    match (*state, event) {
        (State::Idle | State::Orphaned { .. }, Event::LeaseRequested(head)) => leased(head),
        (State::Leased { head: old, .. }, Event::LeaseRequested(head)) => {
            let (next, mut effects) = leased(head);
            if old != head {
                effects.push(Effect::Displace(old));
            }
            (next, effects)
        }
        (State::Leased { head, .. }, Event::LeaseRenewed(from)) if head == from => {
            (State::Leased { head, heard: now }, vec![])
        }
        (State::Leased { head, .. }, Event::LeaseReleased(from)) if head == from => {
            (State::Idle, vec![])
        }
        (State::Leased { head, .. }, Event::HeadClosed(from)) if head == from => {
            orphan(now, policy.head_closed)
        }
        (State::Idle, Event::Recovered) => orphan(now, policy.head_silent),
        (State::Leased { heard, .. }, Event::Tick) => match silent_at(heard) {
            Some(at) if at <= now => {
                (State::Orphaned { since: now, stop_at: None }, vec![Effect::StopRun])
            }
            Some(at) => (*state, vec![Effect::TickAt(at)]),
            None => (*state, vec![]),
        },
        (State::Orphaned { since, stop_at: Some(at) }, Event::Tick) if at <= now => {
            (State::Orphaned { since, stop_at: None }, vec![Effect::StopRun])
        }
        (State::Orphaned { stop_at: Some(at), .. }, Event::Tick) => {
            (*state, vec![Effect::TickAt(at)])
        }
        (
            State::Idle | State::Leased { .. } | State::Orphaned { .. },
            Event::LeaseRenewed(_)
            | Event::LeaseReleased(_)
            | Event::HeadClosed(_)
            | Event::Recovered
            | Event::Tick,
        ) => (*state, vec![]),
    }
}

fn orphan(now: Now, limit: Option<Duration>) -> (State, Vec<Effect>) {
    let stop_at = limit.map(|d| now + d);
    let effects = stop_at.map(Effect::TickAt).into_iter().collect();
    (State::Orphaned { since: now, stop_at }, effects)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HeadId = HeadId(1);
    const B: HeadId = HeadId(2);

    fn check(events: &[(u64, Event)]) -> (State, Vec<Effect>) {
        let mut state = State::Idle;
        let mut last = Vec::new();
        for (at, event) in events {
            (state, last) =
                advance(&OrphanPolicy::foreground(), &state, *event, Duration::from_secs(*at));
        }
        (state, last)
    }

    #[test]
    fn a_closed_head_has_two_seconds_to_come_back() {
        let gone = [(0, Event::LeaseRequested(A)), (5, Event::HeadClosed(A)), (7, Event::Tick)];
        assert_eq!(check(&gone).1, [Effect::StopRun]);
        let back = [
            (0, Event::LeaseRequested(A)),
            (5, Event::HeadClosed(A)),
            (6, Event::LeaseRequested(B)),
            (8, Event::Tick),
        ];
        assert!(matches!(check(&back).0, State::Leased { head: B, .. }));
    }

    #[test]
    fn a_silent_head_has_sixty() {
        let heard = (30, Event::LeaseRenewed(A));
        let early = [(0, Event::LeaseRequested(A)), heard, (60, Event::Tick)];
        assert_eq!(check(&early).1, [Effect::TickAt(Duration::from_secs(90))]);
        let late = [(0, Event::LeaseRequested(A)), heard, (90, Event::Tick)];
        assert_eq!(check(&late).1, [Effect::StopRun]);
    }

    #[test]
    fn an_old_connection_cannot_take_the_run_from_a_new_one() {
        let events = [
            (0, Event::LeaseRequested(A)),
            (1, Event::LeaseRequested(B)),
            (2, Event::HeadClosed(A)),
            (3, Event::LeaseReleased(A)),
        ];
        assert!(matches!(check(&events).0, State::Leased { head: B, .. }));
    }

    #[test]
    fn a_new_noded_waits_for_the_long_limit() {
        let (state, _) = check(&[(10, Event::Recovered)]);
        let stop_at = Some(Duration::from_secs(70));
        assert_eq!(state, State::Orphaned { since: Duration::from_secs(10), stop_at });
    }
}
