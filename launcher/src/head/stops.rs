//! In which order stages are stopped: callers first, the next when the one before is empty or its
//! share of the deadline is over (DESIGN §3).

use std::collections::VecDeque;
use std::time::Duration;

use a2arun_core::outcome::StopCause;
use a2arun_core::plan::StageIx;
use tokio::time::Instant;

/// A stop that is under way.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) cause: StopCause,
    /// When everything left is killed.
    pub(super) deadline: Instant,
    waiting: VecDeque<StageIx>,
    current: Option<StageIx>,
    share: Duration,
    next_at: Instant,
}

impl Schedule {
    /// `stages` in the order of stopping, those with nobody left out; `grace` for all of them.
    pub(super) fn new(
        stages: Vec<StageIx>,
        grace: Duration,
        cause: StopCause,
        now: Instant,
    ) -> Self {
        let count = u32::try_from(stages.len()).unwrap_or(u32::MAX).max(1);
        Self {
            cause,
            deadline: now + grace,
            waiting: stages.into(),
            current: None,
            share: grace / count,
            next_at: now,
        }
    }

    /// The next stage to be told, if it is its turn. To be asked until it says no.
    pub(super) fn due(&mut self, now: Instant, live: impl Fn(StageIx) -> bool) -> Option<StageIx> {
        let blocked = self.current.is_some_and(&live) && now < self.next_at;
        if blocked {
            return None;
        }
        while let Some(stage) = self.waiting.pop_front() {
            if live(stage) {
                self.current = Some(stage);
                self.next_at = now + self.share;
                return Some(stage);
            }
        }
        self.current = None;
        None
    }

    /// When to ask again at the latest; `None`: every stage was told.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next_at)
    }

    /// Nothing is waited for any more.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.deadline = self.deadline.min(now);
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u32) -> StageIx = StageIx;

    fn schedule(stages: &[u32], now: Instant) -> Schedule {
        let stages = stages.iter().map(|s| S(*s)).collect();
        Schedule::new(stages, Duration::from_secs(10), StopCause::User, now)
    }

    #[test]
    fn the_next_stage_waits_for_the_one_before_or_its_share() {
        let now = Instant::now();
        let mut stop = schedule(&[1, 0], now);
        assert_eq!(stop.due(now, |_| true), Some(S(1)));
        assert_eq!(stop.due(now, |_| true), None);
        assert_eq!(stop.wake_at(), Some(now + Duration::from_secs(5)));
        assert_eq!(stop.due(now + Duration::from_secs(5), |_| true), Some(S(0)));
        assert_eq!(stop.wake_at(), None);
    }

    #[test]
    fn an_empty_stage_lets_the_next_go_at_once() {
        let now = Instant::now();
        let mut stop = schedule(&[2, 1, 0], now);
        assert_eq!(stop.due(now, |_| true), Some(S(2)));
        assert_eq!(stop.due(now, |s| s == S(0)), Some(S(0)));
        assert_eq!(stop.due(now, |_| false), None);
    }
}
