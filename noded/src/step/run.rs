//! The step's loop: wait, fold what happened with the instance's machine, carry its effects out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use a2arun_core::launch::SignalNumber;
use a2arun_core::machine::instance::{self, Effect, Ended, Event, Rules, State, Tree};
use a2arun_core::outcome::{ExitRecord, Proof, StopCause, WaitStatus};
use jiff::Timestamp;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::link::{Incoming, Link};
use super::output::{Pump, Pumped};
use super::tree::{Leader, Members};
use super::{BROKEN, DONE};
use crate::ledger::InstanceDir;
use crate::msg::{Hello, InstanceKey, Spawned, StepCommand, StepMessage, Verdict};
use crate::os::seqpacket::{self, Received};
use crate::os::wait::{Reap, has_child, reap_any};
use crate::os::{pidfd, signals};

/// How often the tree is swept while it is being killed, or is known by its mark only.
const SWEEP: Duration = Duration::from_millis(20);
/// How long to wait for word of an agent that another process reaps.
const VERDICT_LIMIT: Duration = Duration::from_secs(2);
/// When a full disk is tried again.
const DISK_RETRY: Duration = Duration::from_secs(1);
/// After SIGKILL this long, who is still there is named: it cannot be killed.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// A step whose agent runs.
#[derive(Debug)]
pub(super) struct Step {
    /// Whose.
    pub key: InstanceKey,
    /// How it is stopped.
    pub rules: Rules,
    /// Its locked folder.
    pub dir: InstanceDir,
    /// noded.
    pub link: Link,
    /// The agent's process.
    pub leader: Leader,
    /// The agent's tree.
    pub members: Members,
    /// When and as what it was spawned.
    pub spawned: Spawned,
    /// Ready with exec, without a probe.
    pub ready_at_exec: bool,
    /// How the agent ended, where that was before this step came.
    pub ended: Option<WaitStatus>,
    /// Standard output.
    pub out: Pump,
    /// Standard error.
    pub err: Pump,
    /// Kept open for the head.
    pub stdin: Option<OwnedFd>,
    /// Tells noded of new output.
    pub output_event: Option<OwnedFd>,
    /// Where word of an agent's end comes from that this step is not the parent of.
    pub verdicts: Option<OwnedFd>,
    /// `/dev/null`.
    pub null: OwnedFd,
}

struct Loop {
    step: Step,
    clock: Instant,
    state: State,
    timer: Option<Duration>,
    orphan: Option<Duration>,
    call_at: Option<Duration>,
    sweep_at: Option<Duration>,
    disk_at: Option<Duration>,
    killed_at: Option<Duration>,
    leader_ended_at: Option<Duration>,
    ready: Option<Timestamp>,
    stopping: Option<StopCause>,
    max_rss_bytes: Option<u64>,
    /// How the agent ended, from the process that reaped it.
    verdict: Option<Verdict>,
    finished: Option<i32>,
}

/// Runs until the agent has ended and its record is written; returns the step's exit code.
pub(super) fn run(step: Step) -> i32 {
    let Ok(mut children) = signals::sigchld_fd() else { return BROKEN };
    let mut this = Loop {
        step,
        clock: Instant::now(),
        state: State::Starting,
        timer: None,
        orphan: None,
        call_at: None,
        sweep_at: None,
        disk_at: None,
        killed_at: None,
        leader_ended_at: None,
        ready: None,
        stopping: None,
        max_rss_bytes: None,
        verdict: None,
        finished: None,
    };
    this.fold(Event::Spawned);
    if this.step.ready_at_exec {
        this.fold(Event::ProbePassed);
    }
    if this.step.link.socket().is_none() {
        this.lost();
    }
    if let Some(status) = this.step.ended {
        // What noded knew of it first: whether it was ready, and whether it was asked to stop.
        this.said().into_iter().for_each(|incoming| this.hear(incoming));
        this.fold(Event::ChildExited(status));
        this.sweep_at = Some(this.now());
    }
    loop {
        if let Some(code) = this.finished {
            return code;
        }
        if !this.turn(&mut children) {
            return BROKEN;
        }
    }
}

/// Which descriptor is which in the poll set.
#[derive(Clone, Copy)]
enum Source {
    Children,
    Leader,
    Out,
    Err,
    Noded,
    Verdicts,
}

impl Loop {
    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn is_adopted(&self) -> bool {
        matches!(self.step.members, Members::Marked(_))
    }

    /// One wait and what came of it; false where poll itself fails.
    fn turn(&mut self, children: &mut SignalFd) -> bool {
        let timeout = self.next_timer().map(|at| at.saturating_sub(self.now()));
        let Some(ready) = self.wait(children, timeout) else { return false };
        let mut called = false;
        for source in ready {
            match source {
                Source::Children => signals::drain(children),
                Source::Leader => self.leader_ended_at = Some(self.now()),
                Source::Out | Source::Err => {}
                Source::Noded => called = true,
                Source::Verdicts => self.take_verdict(),
            }
        }
        // Output first: what an agent said before it ended is on disk before its end is known.
        self.pump();
        // Then that it was ready, which noded saw before it could end; then its end: a stop that
        // comes in the same moment did not cause it.
        let said = if called { self.said() } else { Vec::new() };
        if said.iter().any(|s| matches!(s, Incoming::Command(StepCommand::Ready, _))) {
            self.fold(Event::ProbePassed);
        }
        self.reap();
        if self.finished.is_none() {
            said.into_iter().for_each(|incoming| self.hear(incoming));
        }
        self.elapse();
        true
    }

    fn wait(&self, children: &SignalFd, timeout: Option<Duration>) -> Option<Vec<Source>> {
        let step = &self.step;
        let unreaped = !step.leader.reaped;
        let leader = step
            .leader
            .pidfd
            .as_ref()
            .filter(|_| self.leader_ended_at.is_none() && unreaped)
            .map(AsFd::as_fd);
        let verdicts = step.verdicts.as_ref().filter(|_| unreaped).map(AsFd::as_fd);
        let sources: Vec<(Source, BorrowedFd<'_>)> = [
            (Source::Children, Some(children.as_fd())),
            (Source::Leader, leader),
            (Source::Out, step.out.pipe()),
            (Source::Err, step.err.pipe()),
            (Source::Noded, step.link.socket()),
            (Source::Verdicts, verdicts),
        ]
        .into_iter()
        .filter_map(|(source, fd)| Some((source, fd?)))
        .collect();
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let timeout = timeout.map(|d| Timespec {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(d.subsec_nanos()),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
        let ready = sources.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Some(ready.map(|((source, _), _)| *source).collect())
    }

    fn next_timer(&self) -> Option<Duration> {
        [self.timer, self.orphan, self.call_at, self.sweep_at, self.disk_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn elapse(&mut self) {
        let now = self.now();
        let due = |at: &mut Option<Duration>| at.take_if(|t| *t <= now).is_some();
        if due(&mut self.timer) {
            self.fold(Event::TimerElapsed);
        }
        if due(&mut self.orphan) {
            self.fold(Event::OrphanElapsed);
        }
        if due(&mut self.disk_at) {
            self.step.out.retry_disk();
            self.step.err.retry_disk();
        }
        if due(&mut self.call_at) {
            self.call();
        }
        if due(&mut self.sweep_at) {
            self.sweep();
        }
    }

    /// Moves output; level-triggered, so it is simply tried whenever something happened.
    fn pump(&mut self) {
        let mut moved = 0;
        let mut full = None;
        for pump in [&mut self.step.out, &mut self.step.err] {
            let was_dropping = pump.is_dropping();
            match pump.pump(&self.step.dir, self.step.null.as_fd()) {
                Pumped::Some(bytes) => moved += bytes,
                Pumped::DiskFull(error) if !was_dropping => full = Some(error),
                Pumped::DiskFull(_) => {}
            }
        }
        for (pump, stderr) in [(&mut self.step.out, false), (&mut self.step.err, true)] {
            if pump.announce() {
                self.step.link.send(&StepMessage::FirstOutput { stderr }, &[]);
            }
        }
        if moved > 0
            && let Some(event) = &self.step.output_event
        {
            signals::raise(event);
        }
        if let Some(error) = full {
            self.step.link.send(&StepMessage::DiskFull(error.to_string()), &[]);
        }
        if self.step.out.is_dropping() || self.step.err.is_dropping() {
            self.disk_at.get_or_insert(self.clock.elapsed() + DISK_RETRY);
        }
        self.note_pipes();
    }

    fn pipes_closed(&self) -> bool {
        self.step.out.pipe().is_none() && self.step.err.pipe().is_none()
    }

    fn note_pipes(&mut self) {
        if let State::Stopping(stopping) = &self.state
            && !stopping.pipes_closed
            && self.pipes_closed()
        {
            self.fold(Event::PipesClosed);
        }
    }

    /// Reaps what has ended, and finds out whether anything is left.
    fn reap(&mut self) {
        if self.is_adopted() {
            self.adopted_end();
            return;
        }
        loop {
            match reap_any() {
                Ok(Reap::One(reaped)) if reaped.pid == self.step.leader.pid => {
                    self.step.leader.reaped = true;
                    self.leader_ended_at = Some(self.now());
                    self.max_rss_bytes = Some(reaped.max_rss_bytes);
                    if has_child() {
                        // Nobody can ask the kernel again; should this step die while it waits
                        // for the rest of the tree, the next one reads it.
                        if let Err(error) = self.step.dir.write_leader(reaped.status) {
                            super::complain(&self.step.key, &error);
                        }
                    }
                    self.fold(Event::ChildExited(reaped.status));
                    self.note_pipes();
                }
                Ok(Reap::One(_)) => {}
                Ok(Reap::NoChild) => {
                    self.tree_gone();
                    return;
                }
                Ok(Reap::Running) | Err(_) => return,
            }
        }
    }

    /// Reads what the spawner has to say. One that is gone says nothing more: its descriptor would
    /// only keep the poll from waiting.
    fn take_verdict(&mut self) {
        let Some(socket) = &self.step.verdicts else { return };
        let mut buffer = [0u8; 256];
        match seqpacket::recv(socket, &mut buffer) {
            Ok(Received::Message(len, _)) => {
                self.verdict = serde_json::from_slice(&buffer[..len]).ok();
            }
            Ok(Received::WouldBlock) => {}
            Ok(Received::End) | Err(_) => self.step.verdicts = None,
        }
    }

    fn tree_gone(&mut self) {
        if let State::Stopping(stopping) = &self.state
            && stopping.tree == Tree::Alive
        {
            self.sweep_at = None;
            self.fold(Event::TreeGone);
        }
    }

    /// The end of an agent that another process reaps: its status comes from the spawner, or from
    /// the kernel where that tells, or it is unknown.
    fn adopted_end(&mut self) {
        let Some(ended) = self.leader_ended_at else { return };
        if self.step.leader.reaped {
            return;
        }
        self.take_verdict();
        let status = self
            .verdict
            .as_ref()
            .map(|v| v.status)
            .or_else(|| self.step.leader.pidfd.as_ref().and_then(pidfd::exit_status))
            .or_else(|| (self.now() >= ended + VERDICT_LIMIT).then_some(WaitStatus::Unknown));
        match status {
            Some(status) => {
                self.step.leader.reaped = true;
                self.fold(Event::ChildExited(status));
                self.note_pipes();
                self.sweep_at = Some(self.now());
            }
            None => self.sweep_at = Some(self.now() + SWEEP),
        }
    }

    /// Looks after a tree that is being killed, or that no wait(2) can tell of.
    fn sweep(&mut self) {
        let State::Stopping(stopping) = &self.state else {
            self.adopted_end();
            return;
        };
        if stopping.tree != Tree::Alive {
            return;
        }
        let killed = stopping.killed;
        if self.is_adopted() {
            if !self.step.leader.reaped {
                self.adopted_end();
            }
            if self.step.leader.reaped && self.step.members.is_empty() {
                self.tree_gone();
                return;
            }
        }
        if killed {
            self.step.members.signal(&self.step.leader, SignalNumber::KILL);
            if self.killed_at.is_some_and(|at| self.now() >= at + KILL_LIMIT) {
                self.give_up();
                return;
            }
        }
        self.sweep_at = Some(self.now() + SWEEP);
    }

    /// Something cannot be killed (a process in an uninterruptible wait): it is named.
    fn give_up(&mut self) {
        self.step.out.give_up();
        self.step.err.give_up();
        if let State::Stopping(stopping) = &self.state {
            let ended = instance::end_with_survivors(&self.step.rules, stopping);
            self.finish(ended, Proof::Survivors);
        }
    }

    /// Everything that noded has said and that was not read yet.
    fn said(&mut self) -> Vec<Incoming> {
        let mut said = Vec::new();
        loop {
            match self.step.link.receive() {
                Incoming::Nothing => return said,
                Incoming::Lost => {
                    said.push(Incoming::Lost);
                    return said;
                }
                incoming @ (Incoming::Command(..) | Incoming::Unknown) => said.push(incoming),
            }
        }
    }

    fn hear(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Command(StepCommand::Welcome, mut fds) => {
                self.step.output_event = fds.pop().or(self.step.output_event.take());
                self.fold(Event::NodedBack);
            }
            Incoming::Command(StepCommand::Stop { cause, grace_ms }, _) => {
                let grace = grace_ms.map(Duration::from_millis);
                self.fold(Event::StopRequested { cause, grace });
            }
            Incoming::Command(StepCommand::Ready, _) => self.fold(Event::ProbePassed),
            Incoming::Command(StepCommand::CloseStdin, _) => self.step.stdin = None,
            Incoming::Command(StepCommand::Ports, _) | Incoming::Unknown | Incoming::Nothing => {}
            Incoming::Lost => self.lost(),
        }
    }

    fn lost(&mut self) {
        self.fold(Event::NodedLost);
        self.call_at = Some(self.now());
    }

    fn call(&mut self) {
        if let Err(wait) = self.step.link.call() {
            self.call_at = Some(self.now() + wait);
            return;
        }
        let step = &mut self.step;
        let hello = Hello {
            key: step.key.clone(),
            step_pid: rustix::process::getpid().as_raw_nonzero().get(),
            spawned: step.spawned.clone(),
            ready: self.ready,
            stopping: self.stopping,
            stdin: step.stdin.is_some(),
        };
        // A pipe at its end has no descriptor any more; /dev/null reads as ended, too.
        let null = step.null.as_fd();
        let mut fds = vec![
            step.leader.pidfd.as_ref().map_or(null, AsFd::as_fd),
            step.out.pipe().unwrap_or(null),
            step.err.pipe().unwrap_or(null),
        ];
        fds.extend(step.stdin.as_ref().map(AsFd::as_fd));
        if !step.link.send(&StepMessage::Hello(hello), &fds) {
            self.call_at = Some(self.now() + SWEEP);
        }
    }

    fn fold(&mut self, event: Event) {
        let now = self.now();
        // A transition that cannot be is a defect; the agent must not pay for it.
        let Ok((state, effects)) = instance::advance(&self.step.rules, &self.state, event, now)
        else {
            debug_assert!(false, "illegal transition: {event:?} in {:?}", self.state);
            return;
        };
        if matches!(state, State::Ready) && self.ready.is_none() {
            self.ready = Some(Timestamp::now());
        }
        self.state = state;
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            // noded said so itself, or knows it from exec.
            Effect::ReportReady => {}
            Effect::ReportStopping(cause) => {
                self.stopping = Some(cause);
                self.step.link.send(&StepMessage::Stopping(cause), &[]);
            }
            // Mostly the leader was all there was, and there is nobody to look for.
            Effect::Signal(_) if self.step.leader.reaped && !self.is_adopted() && !has_child() => {}
            Effect::Signal(signal) => {
                self.step.members.signal(&self.step.leader, signal);
                if self.is_adopted() {
                    self.sweep_at = Some(self.now() + SWEEP);
                }
            }
            Effect::KillTree => {
                self.killed_at.get_or_insert(self.clock.elapsed());
                self.step.members.signal(&self.step.leader, SignalNumber::KILL);
                self.sweep_at = Some(self.now() + SWEEP);
            }
            Effect::SetTimer(at) => self.timer = Some(at),
            // A contact that is lost before its welcome does not begin the limit anew.
            Effect::SetOrphanTimer(at) => {
                self.orphan.get_or_insert(at);
            }
            Effect::ClearOrphanTimer => self.orphan = None,
            Effect::Finish(ended) => {
                let proof = if self.is_adopted() { Proof::Weak } else { Proof::Reaped };
                self.finish(ended, proof);
            }
        }
    }

    fn finish(&mut self, ended: Ended, proof: Proof) {
        let survivors = match proof {
            Proof::Survivors => self.step.members.survivors(),
            Proof::Reaped | Proof::Weak => Vec::new(),
        };
        let (code, signal) = match ended.status {
            Some(WaitStatus::Exited(code)) => (Some(code), None),
            Some(WaitStatus::Signaled(signal)) => (None, Some(signal)),
            Some(WaitStatus::Unknown) | None => (None, None),
        };
        let exit = ExitRecord {
            reason: ended.reason,
            code,
            signal,
            asked_by: ended.cause,
            detail: None,
            started: Some(self.step.spawned.at),
            ready: self.ready,
            ended: Timestamp::now(),
            max_rss_bytes: self.max_rss_bytes,
            stdout_bytes: self.step.out.written(),
            stderr_bytes: self.step.err.written(),
            dropped_bytes: self.step.out.dropped() + self.step.err.dropped(),
            proof,
            survivors,
        };
        // Where the disk is full noded still hears it.
        if let Err(error) = self.step.dir.write_exit(&exit) {
            super::complain(&self.step.key, &error);
        }
        self.step.link.send(&StepMessage::Exited(exit), &[]);
        self.finished = Some(DONE);
    }
}

/// Word from the spawner, if there is any.
pub(super) fn read_verdict(socket: BorrowedFd<'_>) -> Option<Verdict> {
    let mut buffer = [0u8; 256];
    match seqpacket::recv(socket, &mut buffer) {
        Ok(Received::Message(len, _)) => serde_json::from_slice(&buffer[..len]).ok(),
        Ok(Received::End | Received::WouldBlock) | Err(_) => None,
    }
}
