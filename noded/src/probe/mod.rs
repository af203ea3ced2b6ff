//! Is an instance ready? Looks at it again and again until it is, or its deadline has passed, and
//! from then on whether it still is (DESIGN §6). A listener counts only if it belongs to the
//! instance's tree.

mod card;
mod exec;
mod http;
mod keep;
mod log;
mod look;
mod owner;
mod reach;

use std::path::PathBuf;
use std::time::Duration;

use a2arun_core::ids::Incarnation;
use a2arun_core::launch::{Readiness, ReadinessCheck};
use a2arun_core::seen::Seen;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::msg::InstanceKey;
use crate::supervisor::{Input, Level, NoticeKind, ProbeReport};

pub use http::post;
pub use owner::{listening, taken};
pub use reach::{ReachTarget, Unreached, reach};

/// The waits between looks: 5 ms, doubling, at most 1 s.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const MAX_WAIT: Duration = Duration::from_secs(1);
/// From when on it is worth saying what is wrong.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose.
    pub key: InstanceKey,
    /// Which spawn.
    pub incarnation: Incarnation,
    /// How.
    pub readiness: Readiness,
    /// Its main port.
    pub port: Option<u16>,
    /// The address it was told.
    pub address: Option<String>,
    /// Its process.
    pub pid: i32,
    /// When that was spawned.
    pub started: Timestamp,
    /// Its folder, where its output is.
    pub dir: PathBuf,
    /// It was ready before this noded came: only whether it still is.
    pub ready: bool,
}

/// What one look saw.
enum Look {
    Ready(Level, Box<Seen>),
    NotYet(String),
    /// Not yet, and a person should know why.
    Odd(NoticeKind, String),
}

/// Looks until the instance is ready or late, and reports that; then looks whether it still is.
///
/// # Cancel safety
/// May be dropped at any time: it owns nothing but a connection and a file that it reads.
pub async fn watch(target: Target, inbox: mpsc::Sender<Input>) {
    let level = match target.ready {
        true => None,
        false => match until_ready(&target, &inbox).await {
            Some(level) => Some(level),
            None => return,
        },
    };
    keep::keep_looking(&target, level, &inbox).await;
}

async fn tell(target: &Target, inbox: &mpsc::Sender<Input>, report: ProbeReport) -> bool {
    inbox.send(Input::Probe(target.key.clone(), target.incarnation, report)).await.is_ok()
}

/// Gives how much was seen; `None`: it was late, or nobody listens to us any more.
async fn until_ready(target: &Target, inbox: &mpsc::Sender<Input>) -> Option<Level> {
    let elapsed = Timestamp::now().duration_since(target.started);
    let elapsed = Duration::try_from(elapsed).unwrap_or_default();
    let begin = Instant::now() - elapsed.min(Duration::from_secs(3600));
    let deadline = begin + target.readiness.deadline;
    let mut wait = FIRST_WAIT;
    let mut said: Option<NoticeKind> = None;
    let mut told: Option<String> = None;
    let mut looker = look::Looker::new(target);
    loop {
        // A look may take several times its limit, one that begins late has it at least once.
        let by = deadline.max(Instant::now() + target.readiness.timeout);
        let late = |_| Look::NotYet("no answer in time".to_owned());
        let last = match timeout_at(by, looker.look()).await.unwrap_or_else(late) {
            Look::Ready(level, seen) => {
                let passed = ProbeReport::Passed(level, seen);
                return tell(target, inbox, passed).await.then_some(level);
            }
            Look::NotYet(text) => text,
            Look::Odd(kind, text) => {
                if said != Some(kind) && begin.elapsed() >= PATIENCE {
                    said = Some(kind);
                    if !tell(target, inbox, ProbeReport::Notice(kind, text.clone())).await {
                        return None;
                    }
                }
                text
            }
        };
        let now = Instant::now();
        if now >= deadline {
            let limit = target.readiness.deadline;
            let text = format!("not ready within {}: {last}", seconds(limit));
            tell(target, inbox, ProbeReport::Deadline(text)).await;
            return None;
        }
        if begin.elapsed() >= PATIENCE && told.as_ref() != Some(&last) {
            if !tell(target, inbox, ProbeReport::NotYet(last.clone())).await {
                return None;
            }
            told = Some(last);
        }
        sleep_until((now + wait).min(deadline)).await;
        wait = (wait * 2).min(MAX_WAIT);
    }
}

fn seconds(duration: Duration) -> String {
    let text = format!("{:.1}", duration.as_secs_f64());
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}

/// Whether there is anything to look at again once it was ready.
fn can_fade(check: &ReadinessCheck) -> bool {
    match check {
        // Its end is told by its step; a line that was written stays written.
        ReadinessCheck::Alive | ReadinessCheck::Log { .. } => false,
        ReadinessCheck::Tcp { .. }
        | ReadinessCheck::Http { .. }
        | ReadinessCheck::Card { .. }
        | ReadinessCheck::Auto { .. }
        | ReadinessCheck::Exec { .. } => true,
    }
}
