//! When to try again: pure schedules. The caller sleeps, and stops when it has had enough.

use std::time::Duration;

/// How often an agent is looked at until it is ready: 5, 10, 20 … 1,000 ms, then 1,000 ms.
pub fn poll() -> impl Iterator<Item = Duration> + Clone + Send + std::fmt::Debug {
    Doubling { next: Duration::from_millis(5), max: Duration::from_millis(1000) }
}

#[derive(Debug, Clone)]
struct Doubling {
    next: Duration,
    max: Duration,
}

impl Iterator for Doubling {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        let now = self.next.min(self.max);
        self.next = (now * 2).min(self.max);
        Some(now)
    }
}

/// How a broken connection is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// Before the second attempt; the first is made at once.
    pub first: Duration,
    /// No wait is longer.
    pub max: Duration,
    /// How many waits there are; `None`: no end.
    pub attempts: Option<u32>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), max: Duration::from_secs(5), attempts: None }
    }
}

impl Reconnect {
    /// Waits with jitter: each lies between half and all of its step, so that a thousand heads
    /// or hosts that lost the same switch do not come back in step. Equal seeds, equal waits.
    pub fn waits(
        self,
        seed: u64,
    ) -> impl Iterator<Item = Duration> + Clone + Send + std::fmt::Debug {
        let steps = Doubling { next: self.first, max: self.max };
        Jittered { steps, left: self.attempts, random: SplitMix(seed) }
    }
}

#[derive(Debug, Clone)]
struct Jittered {
    steps: Doubling,
    left: Option<u32>,
    random: SplitMix,
}

impl Iterator for Jittered {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1)?;
        }
        let step = self.steps.next()?;
        let share = 0.5 + self.random.unit() / 2.0;
        Some(step.mul_f64(share))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough for jitter.
#[derive(Debug, Clone)]
struct SplitMix(u64);

impl SplitMix {
    /// In `0.0..1.0`.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // 32 bits are exact in an f64.
        f64::from(u32::try_from(z >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_double_up_to_a_second() {
        let ms: Vec<u128> = poll().take(10).map(|d| d.as_millis()).collect();
        assert_eq!(ms, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn waits_grow_within_their_bounds_and_end() {
        proptest::proptest!(|(seed: u64)| {
            let plan = Reconnect { attempts: Some(12), ..Reconnect::default() };
            let waits: Vec<Duration> = plan.waits(seed).collect();
            proptest::prop_assert_eq!(waits.len(), 12);
            let steps = Doubling { next: plan.first, max: plan.max };
            for (wait, step) in waits.iter().zip(steps) {
                proptest::prop_assert!(*wait <= step && *wait >= step / 2);
            }
            proptest::prop_assert_eq!(&waits, &plan.waits(seed).collect::<Vec<_>>());
        });
    }
}
