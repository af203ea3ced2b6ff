//! Connecting to peers from this host, as its instances would: the proof of an edge.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Connections that are tried at once.
const AT_ONCE: usize = 64;
/// The limit of one try.
const TRY_LIMIT: Duration = Duration::from_secs(2);
const FIRST_WAIT: Duration = Duration::from_millis(10);
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Somebody to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachTarget {
    /// The asker's number for it.
    pub key: u32,
    /// A name or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// One that was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// The asker's number for it.
    pub key: u32,
    /// Why, in words.
    pub why: String,
}

/// Connects to every target, trying again within `limit`; gives those that were not reached, by
/// key.
///
/// # Cancel safety
/// May be dropped: its connections are closed with it.
pub async fn reach(targets: Vec<ReachTarget>, limit: Duration) -> Vec<Unreached> {
    let by = Instant::now() + limit;
    let mut waiting = targets.into_iter();
    let mut tries = JoinSet::new();
    for target in waiting.by_ref().take(AT_ONCE) {
        tries.spawn(one(target, by));
    }
    let mut unreached = Vec::new();
    while let Some(tried) = tries.join_next().await {
        unreached.extend(tried.ok().flatten());
        if let Some(target) = waiting.next() {
            tries.spawn(one(target, by));
        }
    }
    unreached.sort_by_key(|u| u.key);
    unreached
}

async fn one(target: ReachTarget, by: Instant) -> Option<Unreached> {
    let mut wait = FIRST_WAIT;
    loop {
        let why = match timeout(TRY_LIMIT, connect(&target)).await {
            Ok(Ok(())) => return None,
            Ok(Err(why)) => why,
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() + wait >= by {
            return Some(Unreached { key: target.key, why });
        }
        let _ = timeout_at(by, sleep(wait)).await;
        wait = (wait * 2).min(MAX_WAIT);
    }
}

async fn connect(target: &ReachTarget) -> Result<(), String> {
    let addresses = lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|_| format!("no such host: {}", target.host))?;
    let mut last = format!("no such host: {}", target.host);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) => {
                last = match error.kind() {
                    ErrorKind::ConnectionRefused => "refused".to_owned(),
                    ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                        "no route".to_owned()
                    }
                    ErrorKind::TimedOut => "no answer".to_owned(),
                    _ => error.to_string(),
                };
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_is_reached_and_who_does_not_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Bound and not listening: refused, and nobody else's.
        let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = bound.local_addr().unwrap().port();
        drop(bound);
        let target = |key, host: &str, port| ReachTarget { key, host: host.to_owned(), port };
        let targets = vec![target(7, "127.0.0.1", port), target(3, "127.0.0.1", closed)];
        let unreached = reach(targets, Duration::from_millis(50)).await;
        assert_eq!(unreached, [Unreached { key: 3, why: "refused".to_owned() }]);
        let targets = vec![target(1, "no-such-host.invalid", 80)];
        let unreached = reach(targets, Duration::ZERO).await;
        assert_eq!(unreached[0].why, "no such host: no-such-host.invalid");
    }
}
