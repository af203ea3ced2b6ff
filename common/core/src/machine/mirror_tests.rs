//! Tests of the mirror.

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn report(incarnation: u32, seq: u64, seen: Seen) -> Report {
    Report { incarnation: Incarnation(incarnation), seq, seen }
}

fn end() -> Seen {
    Seen::Exited(End {
        reason: ExitReason::Completed,
        code: Some(0),
        signal: None,
        asked_by: None,
        exit_code: 0,
        survivors: 0,
    })
}

fn run(events: &[Event]) -> State {
    events.iter().fold(State::Pending, |s, e| advance(&s, *e, NOW).unwrap().0)
}

#[test]
fn the_table() {
    let ready = report(2, 5, Seen::Ready);
    let states = [
        State::Pending,
        State::Assigned,
        State::At(ready),
        State::At(report(2, 5, end())),
        State::Lost { since: NOW, last: None },
        State::Lost { since: NOW, last: Some(ready) },
    ];
    let events = [
        ("Assigned", Event::Assigned),
        ("older incarnation", Event::Reported(report(1, 9, Seen::Unready))),
        ("older number", Event::Reported(report(2, 4, Seen::Unready))),
        ("newer", Event::Reported(report(2, 6, Seen::Unready))),
        ("SessionLost", Event::SessionLost),
        ("SessionResumed", Event::SessionResumed),
    ];
    let mut table = String::new();
    let word = |s: &State| match s.report() {
        Some(r) => format!("{} {}.{}", s.shown().as_str(), r.incarnation, r.seq),
        None => s.shown().as_str().to_owned(),
    };
    for state in &states {
        table += &format!("{}\n", word(state));
        for (name, event) in events {
            let (next, effects) = advance(state, event, NOW).unwrap();
            if next != *state {
                table += &format!("  {name} -> {} ({} effects)\n", word(&next), effects.len());
            }
        }
    }
    insta::assert_snapshot!(table, @r#"
pending
  Assigned -> assigned (1 effects)
  older incarnation -> unready 1.9 (1 effects)
  older number -> unready 2.4 (1 effects)
  newer -> unready 2.6 (1 effects)
assigned
  older incarnation -> unready 1.9 (1 effects)
  older number -> unready 2.4 (1 effects)
  newer -> unready 2.6 (1 effects)
  SessionLost -> lost (1 effects)
ready 2.5
  newer -> unready 2.6 (1 effects)
  SessionLost -> lost 2.5 (1 effects)
exited 2.5
  newer -> unready 2.6 (1 effects)
lost
  older incarnation -> unready 1.9 (1 effects)
  older number -> unready 2.4 (1 effects)
  newer -> unready 2.6 (1 effects)
  SessionResumed -> assigned (1 effects)
lost 2.5
  older incarnation -> ready 2.5 (1 effects)
  older number -> ready 2.5 (1 effects)
  newer -> unready 2.6 (1 effects)
  SessionResumed -> ready 2.5 (1 effects)
"#);
}

#[test]
fn what_has_ended_is_not_lost_with_its_host() {
    let ended = [Event::Assigned, Event::Reported(report(1, 1, end())), Event::SessionLost];
    assert!(run(&ended).end().is_some());
}

proptest::proptest! {
    #[test]
    fn reports_never_go_back(reports in proptest::collection::vec((1..4_u32, 0..6_u64), 1..40)) {
        let mut state = State::Assigned;
        let mut last = (Incarnation(0), 0);
        for (incarnation, seq) in reports {
            let event = Event::Reported(report(incarnation, seq, Seen::Starting));
            state = advance(&state, event, NOW).unwrap().0;
            let now = state.report().map(|r| (r.incarnation, r.seq)).unwrap();
            proptest::prop_assert!(now >= last);
            last = now;
        }
    }
}
