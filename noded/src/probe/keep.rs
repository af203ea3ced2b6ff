//! Whether an instance that was ready still is.
//!
//! Refused is not slow and busy is not dead: who accepts a connection and takes its time with the
//! answer stays ready; whose port is closed is not.

use std::time::Duration;

use a2arun_core::launch::ReadinessCheck;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Target, can_fade, card, exec, http, look, owner, tell};
use crate::supervisor::{Input, Level, ProbeReport};

/// A failed look is repeated after this before it counts.
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// A look that comes so much later than planned says more about this machine than about the agent.
const LAG_MAX: Duration = Duration::from_secs(2);

/// Looks every period until nobody listens to us. `level`: how much was seen; `None`: not known.
pub(super) async fn keep_looking(
    target: &Target,
    level: Option<Level>,
    inbox: &mpsc::Sender<Input>,
) {
    if !can_fade(&target.readiness.check) {
        return;
    }
    let period = target.readiness.period;
    // Copies that became ready together are looked at one after another.
    let spread = period.mul_f64(f64::from(target.key.rank.0 % 61) / 61.0);
    let mut at = Instant::now() + spread.max(period / 8);
    let mut ready = true;
    loop {
        sleep_until(at).await;
        let lagged = at.elapsed() > LAG_MAX;
        let mut now = look(target, level).await;
        if now.is_err() && ready {
            sleep(SECOND_LOOK).await;
            now = look(target, level).await;
        }
        let report = match (&now, ready) {
            (Ok(()), false) => Some(ProbeReport::ReadyAgain),
            (Err(text), true) if !lagged => Some(ProbeReport::Unready(text.clone())),
            (Ok(()), true) | (Err(_), _) => None,
        };
        if let Some(report) = report {
            ready = now.is_ok();
            if !tell(target, inbox, report).await {
                return;
            }
        }
        // One that is gone is looked at more often: its callers wait for it.
        at = Instant::now() + if ready { period } else { period.min(Duration::from_secs(1)) };
    }
}

/// What is wrong, in words.
async fn look(target: &Target, level: Option<Level>) -> Result<(), String> {
    let limit = target.readiness.timeout;
    let port = match &target.readiness.check {
        ReadinessCheck::Exec { command } => return exec::run(target.pid, command, limit).await,
        ReadinessCheck::Tcp { port }
        | ReadinessCheck::Http { port, .. }
        | ReadinessCheck::Card { port }
        | ReadinessCheck::Auto { port } => port.or(target.port),
        ReadinessCheck::Alive | ReadinessCheck::Log { .. } => None,
    };
    let Some(port) = port else { return Ok(()) };
    let (address, stream) = match look::connect(target, port, limit).await {
        Ok(connected) => connected,
        // Its queue is full: it is busy, as long as it is its queue.
        Err(error) if error.silent && !owner::owner(target.pid, port)?.is_empty() => return Ok(()),
        Err(error) => return Err(error.text),
    };
    owner::owner_lately(target.pid, port)?;
    match &target.readiness.check {
        ReadinessCheck::Http { path, status, .. } => {
            match http::get(stream, address, path, limit, 0).await {
                Ok(answer) if !look::counts(answer.status, *status) => {
                    Err(format!("GET {path} on port {port} answers {}", answer.status))
                }
                // It took the connection: it is busy.
                Ok(_) | Err(http::GetError::Late) => Ok(()),
                Err(error) => Err(format!("GET {path} on port {port}: {error}")),
            }
        }
        ReadinessCheck::Card { .. } if level == Some(Level::Card) => {
            match card::find(target, stream, address, port, limit).await {
                card::Found::None => Err(format!("no agent card on port {port}")),
                card::Found::Card(_) | card::Found::NotYet(_) => Ok(()),
            }
        }
        ReadinessCheck::Card { .. }
        | ReadinessCheck::Auto { .. }
        | ReadinessCheck::Tcp { .. }
        | ReadinessCheck::Alive
        | ReadinessCheck::Exec { .. }
        | ReadinessCheck::Log { .. } => Ok(()),
    }
}
