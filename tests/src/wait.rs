//! Waiting for a condition. The only pause of the harness is in here, between two looks.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What a look showed.
#[derive(Debug)]
pub enum Poll<T> {
    /// It holds.
    Ready(T),
    /// Not yet; the text says what was seen.
    NotYet(String),
    /// It can no longer come true.
    Hopeless(String),
}

impl Poll<()> {
    /// `Ready` if `holds`.
    pub fn when(holds: bool, seen: impl FnOnce() -> String) -> Self {
        if holds { Self::Ready(()) } else { Self::NotYet(seen()) }
    }
}

/// Looks until it holds, is hopeless, or `limit` is over; the error says what was seen last.
///
/// # Errors
/// When the condition does not come true.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Poll<T>) -> Result<T> {
    let start = Instant::now();
    let mut gap = Duration::from_millis(1);
    loop {
        let seen = match look() {
            Poll::Ready(value) => return Ok(value),
            Poll::NotYet(seen) => seen,
            Poll::Hopeless(why) => bail!("{what}: hopeless after {:?}: {why}", start.elapsed()),
        };
        if start.elapsed() >= limit {
            bail!("{what}: not within {limit:?}; last seen: {seen}");
        }
        pause(gap);
        gap = (gap * 2).min(Duration::from_millis(20));
    }
}

/// The time between two looks, or the rhythm of a test agent. Never a substitute for a condition.
#[expect(clippy::disallowed_methods, reason = "the one place: polls and agents need a rhythm")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
