//! The tables of docs/design/machines.md are what the machines do.

use std::time::Duration;

use jiff::Timestamp;

use crate::exit_code::LauncherCode;
use crate::ids::{Incarnation, Rank};
use crate::launch::{Lifecycle, OrphanPolicy};
use crate::machine::{job, lease, mirror, session};
use crate::outcome::ExitReason;
use crate::plan::{HostIx, StageIx};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Rows are events, columns states, cells what follows.
fn grid(columns: &[&str], rows: &[&str], cell: impl Fn(usize, usize) -> String) -> String {
    let mut lines = vec![std::iter::once(&"").chain(columns).map(|c| (*c).to_owned()).collect()];
    for (r, row) in rows.iter().enumerate() {
        let cells = (0..columns.len()).map(|c| cell(r, c));
        lines.push(std::iter::once((*row).to_owned()).chain(cells).collect::<Vec<String>>());
    }
    let width = |c: usize| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}  "));
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

/// A state that stays as it is.
fn stays<E>(effects: &[E]) -> String {
    if effects.is_empty() { "·" } else { "acts" }.to_owned()
}

#[track_caller]
fn documented(table: &str) {
    let page = include_str!("../../../../docs/design/machines.md");
    assert!(page.contains(table), "docs/design/machines.md differs:\n{table}");
}

#[test]
fn the_job() {
    use job::{
        AgentChange, Cause, Event, JobResult, NEW, OnFailure, Phase, Role, Rules, State, StopBy,
    };
    let rules = Rules { stages: 2, tasks: 1, ends_with: 0, on_failure: OnFailure::Stop };
    let changed = |change| Event::AgentChanged {
        rank: Rank(0),
        role: Role { lifecycle: Lifecycle::Task, ends_job: false, needed: false },
        change,
    };
    let ended = |reason, exit_code| {
        changed(AgentChange::Ended(mirror::End {
            reason,
            code: Some(i32::from(exit_code)),
            signal: None,
            asked_by: None,
            exit_code,
            survivors: 0,
        }))
    };
    let failed = |code| Event::SessionFailed { host: HostIx(0), code };
    let events = [
        ("HostsKnown", Event::HostsKnown),
        ("PlanReady", Event::PlanReady(rules)),
        ("LaunchRequested", Event::LaunchRequested),
        ("AllSessionsUp", Event::AllSessionsUp),
        ("SessionFailed", failed(LauncherCode::HostUnreachable)),
        ("StageReady, first", Event::StageReady { stage: StageIx(0) }),
        ("StageReady, last", Event::StageReady { stage: StageIx(1) }),
        ("EdgesProven", Event::EdgesProven),
        ("StageFailed", Event::StageFailed { host: HostIx(0), code: LauncherCode::Capacity }),
        ("one is unwell", changed(AgentChange::Degraded)),
        ("all are well", changed(AgentChange::Recovered)),
        ("last task is done", ended(ExitReason::Completed, 0)),
        ("a task failed", ended(ExitReason::Failed, 3)),
        ("AskFailed", Event::AskFailed { host: HostIx(0), code: LauncherCode::AgentFailed }),
        ("StopRequested", Event::StopRequested(StopBy::Interrupt)),
        ("WallTime", Event::WallTime),
        ("AllAgentsTerminal", Event::AllAgentsTerminal { survivors: 0 }),
    ];
    let cause = Cause::Canceled(StopBy::Interrupt);
    let states = [
        ("New", Phase::New),
        ("Allocated", Phase::Allocated),
        ("Mapped", Phase::Mapped),
        ("Connecting", Phase::Connecting),
        ("Launching 1", Phase::Launching { stage: StageIx(0) }),
        ("Launching 2", Phase::Launching { stage: StageIx(1) }),
        ("Running", Phase::Running),
        ("Degraded", Phase::Degraded),
        ("Cleanup", Phase::Cleanup { cause, asked: Some(NOW) }),
        ("Inactive", Phase::Inactive { result: JobResult::Canceled, exit_code: 130 }),
    ];
    let name = |state: &State| match state.phase {
        Phase::Launching { stage } => format!("Launching {}", stage.0 + 1),
        _ => state.name().to_owned(),
    };
    let columns = states.map(|(name, _)| name);
    let rows = events.map(|(name, _)| name);
    let table = grid(&columns, &rows, |row, column| {
        let state = State { phase: states[column].1, rules, tasks_left: 1, ..NEW };
        match job::advance(&state, events[row].1, NOW) {
            Ok((next, effects)) if next == state => stays(&effects),
            Ok((next, _)) => name(&next),
            Err(_) => "-".to_owned(),
        }
    });
    documented(&table);
}

#[test]
fn the_mirror_of_an_instance() {
    use mirror::{Event, Report, Seen, State};
    let report =
        |incarnation, seq| Report { incarnation: Incarnation(incarnation), seq, seen: Seen::Ready };
    let states = [
        ("Pending", State::Pending),
        ("Assigned", State::Assigned),
        ("At", State::At(report(2, 5))),
        ("Lost", State::Lost { since: NOW, last: Some(report(2, 5)) }),
    ];
    let events = [
        ("Assigned", Event::Assigned),
        ("Reported, newer", Event::Reported(report(2, 6))),
        ("Reported, older", Event::Reported(report(1, 9))),
        ("SessionLost", Event::SessionLost),
        ("SessionResumed", Event::SessionResumed),
    ];
    let columns = states.map(|(name, _)| name);
    let rows = events.map(|(name, _)| name);
    let table = grid(&columns, &rows, |row, column| {
        let state = states[column].1;
        match mirror::advance(&state, events[row].1, NOW) {
            Ok((next, effects)) if next == state => stays(&effects),
            Ok((State::Pending, _)) => "Pending".to_owned(),
            Ok((State::Assigned, _)) => "Assigned".to_owned(),
            Ok((State::At(_), _)) => "At".to_owned(),
            Ok((State::Lost { .. }, _)) => "Lost".to_owned(),
            Err(_) => "-".to_owned(),
        }
    });
    documented(&table);
}

#[test]
fn the_session() {
    use session::{DIALS_MAX, Event, LOST_AFTER, Reach, SUSPECT_AFTER, State};
    let states = [
        ("Absent", State::Absent),
        ("Bootstrapping", State::Bootstrapping),
        ("Connecting", State::Connecting { attempt: 1 }),
        ("last try", State::Connecting { attempt: DIALS_MAX }),
        ("Handshaking", State::Handshaking),
        ("Up", State::Up { epoch: 1 }),
        ("Suspect", State::Suspect { epoch: 1, missed: SUSPECT_AFTER }),
        ("nearly lost", State::Suspect { epoch: 1, missed: LOST_AFTER - 1 }),
        ("Lost", State::Lost { since: NOW }),
        ("Draining", State::Draining),
        ("Rejected", State::Rejected { reason: String::new() }),
        ("Closed", State::Closed),
    ];
    let events = [
        ("Dial, to be started", Event::Dial(Reach::Bootstrap)),
        ("Dial, is there", Event::Dial(Reach::Connect)),
        ("Connected", Event::Connected),
        ("HandshakeOk", Event::HandshakeOk { epoch: 2 }),
        ("HandshakeRefused", Event::HandshakeRefused { reason: String::new() }),
        ("Heartbeat", Event::Heartbeat),
        ("HeartbeatMissed", Event::HeartbeatMissed),
        ("StreamEnded", Event::StreamEnded),
        ("DrainRequested", Event::DrainRequested),
        ("DrainDone", Event::DrainDone),
    ];
    let name = |state: &State| {
        let debug = format!("{state:?}");
        debug.split([' ', '{']).next().unwrap_or_default().to_owned()
    };
    let columns = states.clone().map(|(name, _)| name);
    let rows = events.clone().map(|(name, _)| name);
    let table = grid(&columns, &rows, |row, column| {
        let state = &states[column].1;
        match session::advance(state, events[row].1.clone(), NOW) {
            Ok((next, effects)) if next == *state => stays(&effects),
            Ok((next, _)) => name(&next),
            Err(_) => "-".to_owned(),
        }
    });
    documented(&table);
}

#[test]
fn the_lease() {
    use lease::{Effect, Event, HeadId, State};
    let (one, other) = (HeadId(1), HeadId(2));
    let at = Duration::from_secs;
    let states = [
        ("Idle", State::Idle),
        ("Leased", State::Leased { head: one, heard: at(0) }),
        ("Orphaned", State::Orphaned { since: at(0), stop_at: Some(at(60)) }),
    ];
    let events = [
        ("LeaseRequested", Event::LeaseRequested(one), 1),
        ("LeaseRequested by another", Event::LeaseRequested(other), 1),
        ("LeaseRenewed", Event::LeaseRenewed(one), 1),
        ("LeaseReleased", Event::LeaseReleased(one), 1),
        ("LeaseReleased by another", Event::LeaseReleased(other), 1),
        ("HeadClosed", Event::HeadClosed(one), 1),
        ("HeadClosed of another", Event::HeadClosed(other), 1),
        ("Recovered", Event::Recovered, 1),
        ("Tick, in time", Event::Tick, 1),
        ("Tick, too late", Event::Tick, 90),
    ];
    let columns = states.map(|(name, _)| name);
    let rows = events.map(|(name, _, _)| name);
    let table = grid(&columns, &rows, |row, column| {
        let (_, event, now) = events[row];
        let state = states[column].1;
        let (next, effects) = lease::advance(&OrphanPolicy::foreground(), &state, event, at(now));
        let name = match next {
            _ if next == state => stays(&effects),
            State::Idle => "Idle".to_owned(),
            State::Leased { .. } => "Leased".to_owned(),
            State::Orphaned { .. } => "Orphaned".to_owned(),
        };
        let stops = if effects.contains(&Effect::StopRun) { ", stops" } else { "" };
        format!("{name}{stops}")
    });
    documented(&table);
}
