//! Whatever comes twice, late or out of order: every end is counted once.

use a2arun_core::hostfile::HostEntry;
use a2arun_core::machine::job::AgentChange;
use a2arun_core::plan::{Hosts, PlanOptions, plan};
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn instances(np: u32) -> Instances {
    let spec = JobSpec::program(vec!["x".into()], None).unwrap();
    let hosts = Hosts::List(vec![HostEntry::bare("n1".parse().unwrap())]);
    let options = PlanOptions { np: Some(np), ..PlanOptions::default() };
    let plan = Arc::new(plan(&spec, &hosts, &options).unwrap());
    Instances::new(&spec, &plan)
}

fn record(code: i32) -> Box<ExitRecord> {
    let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Failed };
    Box::new(ExitRecord {
        reason,
        code: Some(code),
        detail: None,
        started: Some(NOW),
        ..ExitRecord::spawn_failed(String::new(), NOW)
    })
}

fn report(rank: u32, phase: PhaseReport) -> InstanceReport {
    let pid = (!matches!(phase, PhaseReport::Exited(_))).then_some(7);
    InstanceReport {
        rank: Rank(rank),
        name: String::new(),
        incarnation: Incarnation(1),
        phase,
        pid,
        started: Some(NOW),
        ready: None,
        seen: None,
        last_look: None,
        cpu_percent: None,
        memory_bytes: None,
    }
}

fn ends(events: &[Event]) -> usize {
    let ended = |e: &&Event| matches!(e, Event::AgentChanged { change: AgentChange::Ended(_), .. });
    events.iter().filter(ended).count()
}

fn terminal(events: &[Event]) -> bool {
    events.iter().any(|e| matches!(e, Event::AllAgentsTerminal { .. }))
}

#[test]
fn an_end_during_a_break_is_found_in_the_list_and_counted_once() {
    let mut all = instances(2);
    all.assigned(Rank(0), NOW);
    all.assigned(Rank(1), NOW);
    let spawned = News::Spawned { pid: 7, at: None };
    all.heard(Rank(0), Incarnation(1), spawned, NOW);
    all.host_contact(HostIx(0), true, NOW);
    let list =
        vec![report(0, PhaseReport::Exited(record(3))), report(1, PhaseReport::Exited(record(0)))];
    let moved = all.reconcile(HostIx(0), list.clone(), NOW);
    assert_eq!(ends(&moved.events), 2);
    assert!(terminal(&moved.events));
    // The stream and another break tell the same again.
    let late = all.heard(Rank(0), Incarnation(1), News::Exited(record(3)), NOW);
    assert!(late.events.is_empty() && late.news.is_empty());
    assert_eq!(ends(&all.reconcile(HostIx(0), list, NOW).events), 0);
    assert_eq!(all.get(Rank(0)).unwrap().exit.as_ref().unwrap().1.code, Some(3));
}

#[test]
fn a_late_start_does_not_undo_readiness() {
    let mut all = instances(1);
    all.assigned(Rank(0), NOW);
    let mut ready = report(0, PhaseReport::Ready);
    ready.ready = Some(NOW);
    all.reconcile(HostIx(0), vec![ready], NOW);
    let late = all.heard(Rank(0), Incarnation(1), News::Spawned { pid: 7, at: None }, NOW);
    assert!(late.news.is_empty());
    assert_eq!(all.get(Rank(0)).unwrap().mirror.shown(), InstanceState::Ready);
}

#[test]
fn what_a_host_forgot_has_ended_unknown_but_not_what_it_never_heard_of() {
    let mut all = instances(2);
    all.assigned(Rank(0), NOW);
    all.assigned(Rank(1), NOW);
    all.heard(Rank(0), Incarnation(1), News::Spawned { pid: 7, at: None }, NOW);
    let moved = all.reconcile(HostIx(0), Vec::new(), NOW);
    assert_eq!(ends(&moved.events), 1);
    assert_eq!(all.get(Rank(0)).unwrap().exit.as_ref().unwrap().1.reason, ExitReason::Unknown);
    assert!(all.is_live(Rank(1)));
}

#[test]
fn older_incarnations_and_strange_ranks_are_dropped() {
    let mut all = instances(1);
    all.assigned(Rank(0), NOW);
    let spawned = || News::Spawned { pid: 7, at: None };
    all.heard(Rank(0), Incarnation(2), spawned(), NOW);
    assert!(all.heard(Rank(0), Incarnation(1), News::Exited(record(1)), NOW).news.is_empty());
    assert!(all.heard(Rank(9), Incarnation(1), spawned(), NOW).news.is_empty());
}

#[test]
fn what_is_given_up_is_over_for_the_job() {
    let mut all = instances(1);
    all.assigned(Rank(0), NOW);
    assert!(all.stage_is_live(StageIx(0)));
    assert!(terminal(&all.give_up(Rank(0))));
    assert!(!all.stage_is_live(StageIx(0)));
    assert!(all.give_up(Rank(0)).is_empty());
}

proptest! {
    // Every rank ends; reports are dropped, repeated and mixed with full lists, the last of
    // which is complete. Each end is counted exactly once.
    #[test]
    fn each_end_is_counted_once(steps in proptest::collection::vec((0u32..4, 0u8..5), 0..60)) {
        let mut all = instances(4);
        let mut truth: Vec<Option<PhaseReport>> = vec![None; 4];
        let mut counted = 0;
        for rank in 0..4 {
            all.assigned(Rank(rank), NOW);
        }
        for (rank, what) in steps {
            let at = rank as usize;
            let exited = matches!(truth[at], Some(PhaseReport::Exited(_)));
            let mut tell = None;
            match what {
                0 if truth[at].is_none() => {
                    truth[at] = Some(PhaseReport::Starting);
                    tell = Some(News::Spawned { pid: 7, at: None });
                }
                1 if truth[at].is_some() && !exited => {
                    truth[at] = Some(PhaseReport::Exited(record(0)));
                    tell = Some(News::Exited(record(0)));
                }
                // The same again, unheard by the host's side.
                2 if exited => tell = Some(News::Exited(record(0))),
                // Ends, and the message is lost with the connection.
                3 if truth[at].is_some() => truth[at] = Some(PhaseReport::Exited(record(0))),
                _ => {
                    all.host_contact(HostIx(0), true, NOW);
                    let list = list_of(&truth);
                    counted += ends(&all.reconcile(HostIx(0), list, NOW).events);
                }
            }
            if let Some(news) = tell {
                counted += ends(&all.heard(Rank(rank), Incarnation(1), news, NOW).events);
            }
        }
        truth = vec![Some(PhaseReport::Exited(record(0))); 4];
        counted += ends(&all.reconcile(HostIx(0), list_of(&truth), NOW).events);
        prop_assert_eq!(counted, 4);
        prop_assert_eq!(all.tally().live(), 0);
    }
}

fn list_of(truth: &[Option<PhaseReport>]) -> Vec<InstanceReport> {
    let known = truth.iter().enumerate().filter_map(|(rank, phase)| {
        phase.clone().map(|phase| report(u32::try_from(rank).unwrap(), phase))
    });
    known.collect()
}

#[test]
fn a_second_launch_may_be_refused_or_not_come_about() {
    for refused in [true, false] {
        let mut all = instances(1);
        all.assigned(Rank(0), NOW);
        all.heard(Rank(0), Incarnation(1), News::Spawned { pid: 7, at: None }, NOW);
        all.retire(Rank(0), Incarnation(1), &record(1));
        // Its end is not told while it waits, whoever says it.
        let list = vec![report(0, PhaseReport::Exited(record(1)))];
        assert_eq!(ends(&all.reconcile(HostIx(0), list, NOW).events), 0);
        let moved = if refused {
            all.refused(Rank(0), "no room", NOW)
        } else {
            all.unretire(Rank(0));
            all.heard(Rank(0), Incarnation(1), News::Exited(record(1)), NOW)
        };
        assert_eq!(ends(&moved.events), 1, "{refused}");
        assert!(terminal(&moved.events));
    }
}
