//! Stopping: the step does it; where a step does not answer (a disk that blocks it), noded does.

use std::os::fd::AsFd;
use std::time::Duration;

use a2arun_core::ids::Rank;
use a2arun_core::launch::SignalNumber;
use a2arun_core::outcome::{ExitReason, ExitRecord, Proof, StopCause};
use jiff::Timestamp;
use tokio::time::Instant;

use super::actor::{Run, Supervisor, Timer};
use super::instance::{Carried, StopOrder};
use crate::msg::StepCommand;
use crate::os::{pidfd, proc};

/// How long a step may take to say that it is at it.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How often an agent is looked at that noded itself stops.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long after the kill time a step may take to report the end.
const REPORT_LIMIT: Duration = Duration::from_secs(3);

impl Supervisor {
    /// Stops instances; `ranks` empty: all of the run.
    pub(super) fn stop(
        &mut self,
        run: &mut Run,
        ranks: &[Rank],
        grace: Option<Duration>,
        cause: StopCause,
    ) -> usize {
        let all: Vec<Rank>;
        let ranks = if ranks.is_empty() {
            all = run.instances.keys().copied().collect();
            // Also for those that this noded does not know of yet.
            run.stop_all = Some(cause);
            &all
        } else {
            ranks
        };
        let mut stopping = 0;
        for rank in ranks {
            let Some(instance) = run.instances.get_mut(rank).filter(|i| i.is_live()) else {
                continue;
            };
            stopping += 1;
            let now = Instant::now();
            let kill_at = now + grace.unwrap_or(instance.grace);
            let order = instance.stop.get_or_insert(StopOrder::new(cause, kill_at));
            order.kill_at = order.kill_at.min(kill_at);
            let grace_ms = grace.map(|g| u64::try_from(g.as_millis()).unwrap_or(u64::MAX));
            if let Some(link) = &instance.link {
                link.send(&StepCommand::Stop { cause, grace_ms }, &[]);
            }
            let key = instance.key.clone();
            self.timers.set(now + ANSWER_LIMIT, Timer::StopCheck(key));
        }
        stopping
    }

    /// Tells a step that is new to the instance what its predecessor knew.
    pub(super) fn brief_step(&mut self, run: &Run, rank: Rank) {
        let Some(instance) = run.instances.get(&rank) else { return };
        let Some(link) = &instance.link else { return };
        if instance.ready.is_some() {
            link.send(&StepCommand::Ready, &[]);
        }
        if let Some(order) = &instance.stop {
            let left = order.kill_at.saturating_duration_since(Instant::now());
            let grace_ms = Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            link.send(&StepCommand::Stop { cause: order.cause, grace_ms }, &[]);
        }
    }

    /// Looks whether a stop that was ordered goes on, and carries it out where it does not.
    pub(super) fn check_stop(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank).filter(|i| i.is_live()) else { return };
        let Some(order) = &mut instance.stop else { return };
        let now = Instant::now();
        let key = instance.key.clone();
        if order.heard && now < order.kill_at + REPORT_LIMIT {
            self.timers.set(order.kill_at + REPORT_LIMIT, Timer::StopCheck(key));
            return;
        }
        let Some((process, pidfd)) =
            instance.process.as_ref().and_then(|p| Some((p, p.pidfd.as_ref()?)))
        else {
            // Its step has not come that far, or holds all that is known: without it there is
            // another, which reads the order first.
            if now >= order.kill_at
                && let Some(step) = &instance.step
            {
                let _ = pidfd::signal(step, SignalNumber::KILL);
            }
            self.timers.set(now + ANSWER_LIMIT, Timer::StopCheck(key));
            return;
        };
        if pidfd::has_ended(pidfd) {
            let since = *order.ended_unsaid.get_or_insert(now);
            if now < since + REPORT_LIMIT {
                self.timers.set(since + REPORT_LIMIT, Timer::StopCheck(key));
                return;
            }
            // Dead or not, its step must not hold on to what it hangs on.
            if let Some(step) = &instance.step {
                let _ = pidfd::signal(step, SignalNumber::KILL);
            }
            let reason = match order.carried {
                Carried::Kill => ExitReason::GraceKilled,
                Carried::Nothing | Carried::Signal => ExitReason::Stopped,
            };
            let exit = ExitRecord {
                reason,
                asked_by: Some(order.cause),
                detail: Some("its step does not answer; noded stopped it".to_owned()),
                started: Some(process.started),
                proof: Proof::Weak,
                ..ExitRecord::spawn_failed(String::new(), Timestamp::now())
            };
            self.exited(run, rank, exit);
            return;
        }
        self.timers.set(now + LOOK_AGAIN, Timer::StopCheck(key.clone()));
        let due = if now >= order.kill_at { Carried::Kill } else { Carried::Signal };
        if order.carried >= due {
            return;
        }
        tracing::warn!(run = %key.run, rank = %key.rank, ?due, "its step does not answer a stop");
        order.carried = due;
        let signal = match due {
            Carried::Kill => SignalNumber::KILL,
            Carried::Signal | Carried::Nothing => instance.stop_signal,
        };
        // Whoever carries the instance's mark, wherever it was reparented to.
        let mark = format!(
            "A2ARUN_RUN_DIR={}",
            self.ledger.instance_dir(&run.identity.run, rank).display()
        );
        let _ = pidfd::signal(pidfd.as_fd(), signal);
        for pid in proc::all_pids() {
            if pid != process.pid
                && proc::has_variable(pid, &mark)
                && let Ok(fd) = pidfd::open(pid)
                && proc::has_variable(pid, &mark)
            {
                let _ = pidfd::signal(&fd, signal);
            }
        }
    }
}
