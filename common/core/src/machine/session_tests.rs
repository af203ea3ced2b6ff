//! Tests of the session machine.

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn states() -> Vec<State> {
    vec![
        State::Absent,
        State::Bootstrapping,
        State::Connecting { attempt: 1 },
        State::Connecting { attempt: DIALS_MAX },
        State::Handshaking,
        State::Up { epoch: 1 },
        State::Suspect { epoch: 1, missed: 2 },
        State::Suspect { epoch: 1, missed: 9 },
        State::Lost { since: NOW },
        State::Draining,
        State::Rejected { reason: "no".to_owned() },
        State::Closed,
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::Dial(Reach::Bootstrap),
        Event::Dial(Reach::Connect),
        Event::Connected,
        Event::HandshakeOk { epoch: 2 },
        Event::HandshakeRefused { reason: "no".to_owned() },
        Event::Heartbeat,
        Event::HeartbeatMissed,
        Event::StreamEnded,
        Event::DrainRequested,
        Event::DrainDone,
    ]
}

/// One row a state, one line an event; what stays as it is without effect is left out.
#[test]
fn the_table() {
    let mut table = String::new();
    for state in states() {
        table += &format!("{state:?}\n");
        for event in events() {
            match advance(&state, event.clone(), NOW) {
                Ok((next, effects)) if next == state && effects.is_empty() => {}
                Ok((next, effects)) => {
                    table += &format!("  {} -> {next:?} {effects:?}\n", event.name());
                }
                Err(_) => table += &format!("  {} illegal\n", event.name()),
            }
        }
    }
    insta::assert_snapshot!(table, @r#"
Absent
  Dial(bootstrap) -> Bootstrapping [Bootstrap]
  Dial(connect) -> Connecting { attempt: 1 } [Connect { attempt: 1 }]
  Connected illegal
  HandshakeOk illegal
  HandshakeRefused illegal
  Heartbeat illegal
  HeartbeatMissed illegal
  StreamEnded illegal
  DrainRequested -> Closed []
  DrainDone illegal
Bootstrapping
  Connected -> Handshaking [Handshake]
  HandshakeOk illegal
  HandshakeRefused -> Rejected { reason: "no" } [ReportRejected, Disconnect]
  Heartbeat illegal
  HeartbeatMissed illegal
  StreamEnded -> Lost { since: 1970-01-01T00:00:00Z } [ReportLost]
  DrainRequested -> Closed [Disconnect]
  DrainDone illegal
Connecting { attempt: 1 }
  Connected -> Handshaking [Handshake]
  HandshakeOk illegal
  HandshakeRefused -> Rejected { reason: "no" } [ReportRejected, Disconnect]
  Heartbeat illegal
  HeartbeatMissed illegal
  StreamEnded -> Connecting { attempt: 2 } [Connect { attempt: 2 }]
  DrainRequested -> Closed [Disconnect]
  DrainDone illegal
Connecting { attempt: 3 }
  Connected -> Handshaking [Handshake]
  HandshakeOk illegal
  HandshakeRefused -> Rejected { reason: "no" } [ReportRejected, Disconnect]
  Heartbeat illegal
  HeartbeatMissed illegal
  StreamEnded -> Lost { since: 1970-01-01T00:00:00Z } [ReportLost]
  DrainRequested -> Closed [Disconnect]
  DrainDone illegal
Handshaking
  Connected illegal
  HandshakeOk -> Up { epoch: 2 } [ReportUp]
  HandshakeRefused -> Rejected { reason: "no" } [ReportRejected, Disconnect]
  HeartbeatMissed illegal
  StreamEnded -> Lost { since: 1970-01-01T00:00:00Z } [ReportLost]
  DrainRequested -> Closed [Disconnect]
  DrainDone illegal
Up { epoch: 1 }
  Connected illegal
  HandshakeOk illegal
  HandshakeRefused -> Rejected { reason: "no" } [ReportRejected, Disconnect]
  HeartbeatMissed -> Suspect { epoch: 1, missed: 1 } []
  StreamEnded -> Lost { since: 1970-01-01T00:00:00Z } [ReportLost]
  DrainRequested -> Draining [Drain]
  DrainDone illegal
Suspect { epoch: 1, missed: 2 }
  Connected illegal
  HandshakeOk illegal
  HandshakeRefused -> Rejected { reason: "no" } [ReportRejected, Disconnect]
  Heartbeat -> Up { epoch: 1 } []
  HeartbeatMissed -> Suspect { epoch: 1, missed: 3 } [ReportSuspect]
  StreamEnded -> Lost { since: 1970-01-01T00:00:00Z } [ReportLost]
  DrainRequested -> Draining [Drain]
  DrainDone illegal
Suspect { epoch: 1, missed: 9 }
  Connected illegal
  HandshakeOk illegal
  HandshakeRefused -> Rejected { reason: "no" } [ReportRejected, Disconnect]
  Heartbeat -> Up { epoch: 1 } []
  HeartbeatMissed -> Lost { since: 1970-01-01T00:00:00Z } [ReportLost, Disconnect]
  StreamEnded -> Lost { since: 1970-01-01T00:00:00Z } [ReportLost]
  DrainRequested -> Draining [Drain]
  DrainDone illegal
Lost { since: 1970-01-01T00:00:00Z }
  Dial(bootstrap) -> Bootstrapping [Bootstrap]
  Dial(connect) -> Connecting { attempt: 1 } [Connect { attempt: 1 }]
  Connected illegal
  HandshakeOk illegal
  HandshakeRefused illegal
  DrainRequested -> Closed []
Draining
  Connected illegal
  HandshakeOk illegal
  HandshakeRefused -> Rejected { reason: "no" } [ReportRejected, Disconnect]
  StreamEnded -> Closed [ReportLost]
  DrainDone -> Closed [Disconnect]
Rejected { reason: "no" }
  Dial(bootstrap) illegal
  Dial(connect) illegal
  Connected -> Rejected { reason: "no" } [Disconnect]
  HandshakeOk illegal
Closed
  Dial(bootstrap) illegal
  Dial(connect) illegal
  Connected -> Closed [Disconnect]
  HandshakeOk illegal
"#);
}

#[test]
fn a_silent_host_is_suspect_at_three_and_lost_at_ten_seconds() {
    let mut state = State::Up { epoch: 1 };
    let mut told = Vec::new();
    for second in 1..=10 {
        let (next, effects) = advance(&state, Event::HeartbeatMissed, NOW).unwrap();
        told.extend(effects.into_iter().map(|e| format!("{second} {e:?}")));
        state = next;
    }
    assert_eq!(told, ["3 ReportSuspect", "10 ReportLost", "10 Disconnect"]);
}

#[test]
fn a_broken_connection_is_shown_by_its_age() {
    let state = State::Lost { since: NOW };
    let at = |s: i64| state.shown(NOW + jiff::SignedDuration::from_secs(s));
    assert_eq!([at(1), at(3), at(10)], [Shown::Up, Shown::Suspect, Shown::Lost]);
}

#[test]
fn mistakes_are_named() {
    let error = advance(&State::Absent, Event::Connected, NOW).unwrap_err();
    assert_eq!(error.to_string(), "session in state Absent cannot take Connected");
}

proptest::proptest! {
    #[test]
    fn what_is_over_stays_over(picks in proptest::collection::vec(0..10_usize, 0..40)) {
        let all = events();
        let mut state = State::Absent;
        for pick in picks {
            if let Ok((next, _)) = advance(&state, all[pick].clone(), NOW) {
                proptest::prop_assert!(!state.is_terminal() || next == state);
                state = next;
            }
        }
    }
}
