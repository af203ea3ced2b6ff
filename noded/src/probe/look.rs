//! One look at an instance that is not ready yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use a2arun_core::launch::ReadinessCheck;
use a2arun_core::seen::Seen;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::card::{self, Found};
use super::{Look, PATIENCE, Target, exec, http, log, owner};
use crate::supervisor::{Level, NoticeKind};

/// How long `auto` waits for a card or an answer after the port takes connections.
const AUTO_CARD_LIMIT: Duration = Duration::from_secs(2);

/// Looks, and remembers what it needs for the next look.
pub(super) struct Looker<'a> {
    target: &'a Target,
    open_since: Option<Instant>,
    log: Option<log::Scanner>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(target: &'a Target) -> Self {
        let log = match &target.readiness.check {
            ReadinessCheck::Log { pattern } => {
                Some(log::Scanner::new(&target.dir, target.incarnation, pattern))
            }
            ReadinessCheck::Alive
            | ReadinessCheck::Tcp { .. }
            | ReadinessCheck::Http { .. }
            | ReadinessCheck::Card { .. }
            | ReadinessCheck::Auto { .. }
            | ReadinessCheck::Exec { .. } => None,
        };
        Self { target, open_since: None, log }
    }

    pub(super) async fn look(&mut self) -> Look {
        let target = self.target;
        let limit = target.readiness.timeout;
        let plain = |level| Look::Ready(level, Box::default());
        let (port, check) = match &target.readiness.check {
            ReadinessCheck::Alive => return plain(Level::Exec),
            ReadinessCheck::Exec { command } => {
                return match exec::run(target.pid, command, limit).await {
                    Ok(()) => plain(Level::Command),
                    Err(text) => Look::NotYet(text),
                };
            }
            ReadinessCheck::Log { .. } => {
                let scanned = match &mut self.log {
                    Some(log) => log.scan().await,
                    None => Ok(false),
                };
                return match scanned {
                    Ok(true) => plain(Level::Log),
                    Err(text) => Look::NotYet(text),
                    Ok(false) => {
                        Look::NotYet("no line of its output matches `readiness.pattern`".to_owned())
                    }
                };
            }
            ReadinessCheck::Tcp { port }
            | ReadinessCheck::Http { port, .. }
            | ReadinessCheck::Card { port }
            | ReadinessCheck::Auto { port } => (port.or(target.port), &target.readiness.check),
        };
        let Some(port) = port else { return plain(Level::Exec) };
        let (address, stream) = match connect(target, port, limit).await {
            Ok(connected) => connected,
            Err(Unconnected { text, .. }) => return elsewhere(target, port, text),
        };
        let listens = match owner::owner(target.pid, port) {
            Ok(listens) => listens,
            Err(stranger) => return Look::Odd(NoticeKind::PortTaken, stranger),
        };
        let ready = |level, card| Look::Ready(level, Box::new(Seen { listens, card }));
        match check {
            ReadinessCheck::Http { path, status, .. } => {
                match http::get(stream, address, path, limit, 0).await {
                    Ok(answer) if counts(answer.status, *status) => ready(Level::Http, None),
                    Ok(answer) => {
                        Look::NotYet(format!("GET {path} on port {port} answers {}", answer.status))
                    }
                    Err(error) => Look::NotYet(format!("GET {path} on port {port}: {error}")),
                }
            }
            ReadinessCheck::Card { .. } => {
                match card::find(target, stream, address, port, limit).await {
                    Found::Card(card) => ready(Level::Card, Some(card)),
                    Found::None => Look::NotYet(format!("no agent card on port {port}")),
                    Found::NotYet(text) => Look::NotYet(text),
                }
            }
            ReadinessCheck::Auto { .. } => {
                let since = *self.open_since.get_or_insert_with(Instant::now);
                match card::find(target, stream, address, port, limit).await {
                    Found::Card(card) => ready(Level::Card, Some(card)),
                    Found::None => ready(Level::Tcp, None),
                    Found::NotYet(_) if since.elapsed() >= AUTO_CARD_LIMIT => {
                        ready(Level::Tcp, None)
                    }
                    Found::NotYet(text) => Look::NotYet(text),
                }
            }
            ReadinessCheck::Tcp { .. }
            | ReadinessCheck::Alive
            | ReadinessCheck::Exec { .. }
            | ReadinessCheck::Log { .. } => ready(Level::Tcp, None),
        }
    }
}

/// A status that says somebody answers: success, or a door that is locked.
pub(super) fn counts(code: u16, wanted: Option<u16>) -> bool {
    wanted.map_or((200..300).contains(&code) || matches!(code, 401 | 403), |w| code == w)
}

/// Why there is no connection.
pub(super) struct Unconnected {
    pub(super) text: String,
    /// Somewhere the connection was neither taken nor refused: whoever listens there is busy.
    pub(super) silent: bool,
}

/// Connects on loopback, else to the address that the agent was told.
pub(super) async fn connect(
    target: &Target,
    port: u16,
    limit: Duration,
) -> Result<(SocketAddr, TcpStream), Unconnected> {
    let told = target.address.as_ref().and_then(|a| a.parse::<IpAddr>().ok());
    let candidates =
        [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), told, Some(Ipv6Addr::LOCALHOST.into())];
    let mut first_error = None;
    let mut silent = false;
    for ip in candidates.into_iter().flatten() {
        let address = SocketAddr::new(ip, port);
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((address, stream)),
            Ok(Err(error)) => {
                first_error.get_or_insert_with(|| match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => {
                        format!("nothing listens on port {port}")
                    }
                    _ => format!("{address}: {error}"),
                });
            }
            Err(_) => {
                silent = true;
                first_error.get_or_insert_with(|| format!("{address}: no answer"));
            }
        }
    }
    let text = first_error.unwrap_or_else(|| format!("nothing listens on port {port}"));
    Err(Unconnected { text, silent })
}

/// The port is closed; does the agent listen somewhere else?
fn elsewhere(target: &Target, port: u16, text: String) -> Look {
    let started = Timestamp::now().duration_since(target.started);
    if Duration::try_from(started).unwrap_or_default() < PATIENCE {
        return Look::NotYet(text);
    }
    let others = owner::listening(target.pid);
    if others.is_empty() {
        return Look::NotYet(text);
    }
    let others: Vec<String> = others.iter().map(ToString::to_string).collect();
    let text = format!(
        "it listens on {} and not on port {port} that it was given ($PORT)",
        others.join(", ")
    );
    Look::Odd(NoticeKind::ListensElsewhere, text)
}
