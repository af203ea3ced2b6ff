//! Is an instance ready? Looks at it again and again until it is, or its deadline has passed
//! (DESIGN §6). A listener counts only if it belongs to the instance's tree.

mod http;
mod owner;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use a2arun_core::ids::Incarnation;
use a2arun_core::launch::{Readiness, ReadinessCheck, SignalNumber};
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::msg::InstanceKey;
use crate::os::{pidfd, proc};
use crate::supervisor::{Input, Level, NoticeKind, ProbeReport};

/// The waits between looks: 5 ms, doubling, at most 1 s.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How long `auto` waits for a card or an answer after the port takes connections.
const AUTO_CARD_LIMIT: Duration = Duration::from_secs(2);
/// Where a card may be: A2A 0.3 and 1.0, 0.2, and the original format of agents.
const CARD_PATHS: [&str; 3] =
    ["/.well-known/agent-card.json", "/.well-known/agent.json", "/.well-known/agent-configuration"];
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
}

/// What one look saw.
enum Look {
    Ready(Level),
    NotYet(String),
    /// Not yet, and a person should know why.
    Odd(NoticeKind, String),
}

/// Looks until the instance is ready or late, and reports that.
///
/// # Cancel safety
/// May be dropped at any time: it owns nothing but a connection.
pub async fn watch(target: Target, inbox: mpsc::Sender<Input>) {
    let elapsed = Timestamp::now().duration_since(target.started);
    let elapsed = Duration::try_from(elapsed).unwrap_or_default();
    let begin = Instant::now() - elapsed.min(Duration::from_secs(3600));
    let deadline = begin + target.readiness.deadline;
    let report = |report| Input::Probe(target.key.clone(), target.incarnation, report);
    let mut wait = FIRST_WAIT;
    let mut said: Option<NoticeKind> = None;
    let mut open_since = None;
    loop {
        let look = look(&target, &mut open_since).await;
        let last = match look {
            Look::Ready(level) => {
                let _ = inbox.send(report(ProbeReport::Passed(level))).await;
                return;
            }
            Look::NotYet(text) => text,
            Look::Odd(kind, text) => {
                if said != Some(kind) && begin.elapsed() >= PATIENCE {
                    said = Some(kind);
                    let notice = ProbeReport::Notice(kind, text.clone());
                    if inbox.send(report(notice)).await.is_err() {
                        return;
                    }
                }
                text
            }
        };
        let now = Instant::now();
        if now >= deadline {
            let limit = target.readiness.deadline;
            let text = format!("not ready within {}: {last}", seconds(limit));
            let _ = inbox.send(report(ProbeReport::Deadline(text))).await;
            return;
        }
        sleep_until((now + wait).min(deadline)).await;
        wait = (wait * 2).min(MAX_WAIT);
    }
}

fn seconds(duration: Duration) -> String {
    let text = format!("{:.1}", duration.as_secs_f64());
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}

async fn look(target: &Target, open_since: &mut Option<Instant>) -> Look {
    let limit = target.readiness.timeout;
    let (port, check) = match &target.readiness.check {
        ReadinessCheck::Alive => return Look::Ready(Level::Exec),
        ReadinessCheck::Exec { command } => return exec(target.pid, command, limit).await,
        ReadinessCheck::Tcp { port }
        | ReadinessCheck::Http { port, .. }
        | ReadinessCheck::Card { port }
        | ReadinessCheck::Auto { port } => (port.or(target.port), &target.readiness.check),
    };
    let Some(port) = port else { return Look::Ready(Level::Exec) };
    let (address, stream) = match connect(target, port, limit).await {
        Ok(connected) => connected,
        Err(text) => return elsewhere(target, port, text),
    };
    if let Some(stranger) = owner::stranger(target.pid, port) {
        return Look::Odd(NoticeKind::PortTaken, stranger);
    }
    match check {
        ReadinessCheck::Http { path, status, .. } => {
            match http::get(stream, address, path, limit).await {
                Ok(code) if counts(code, *status) => Look::Ready(Level::Http),
                Ok(code) => Look::NotYet(format!("GET {path} on port {port} answers {code}")),
                Err(error) => Look::NotYet(format!("GET {path} on port {port}: {error}")),
            }
        }
        ReadinessCheck::Card { .. } => match card(target, stream, address, port, limit).await {
            Card::Found => Look::Ready(Level::Card),
            Card::None => Look::NotYet(format!("no agent card on port {port}: 404")),
            Card::NotYet(text) => Look::NotYet(text),
        },
        ReadinessCheck::Auto { .. } => {
            let since = *open_since.get_or_insert_with(Instant::now);
            match card(target, stream, address, port, limit).await {
                Card::Found => Look::Ready(Level::Card),
                Card::None => Look::Ready(Level::Tcp),
                Card::NotYet(_) if since.elapsed() >= AUTO_CARD_LIMIT => Look::Ready(Level::Tcp),
                Card::NotYet(text) => Look::NotYet(text),
            }
        }
        ReadinessCheck::Tcp { .. } | ReadinessCheck::Alive | ReadinessCheck::Exec { .. } => {
            Look::Ready(Level::Tcp)
        }
    }
}

/// A status that says somebody answers: success, or a door that is locked.
fn counts(code: u16, wanted: Option<u16>) -> bool {
    wanted.map_or((200..300).contains(&code) || matches!(code, 401 | 403), |w| code == w)
}

/// Connects on loopback, else to the address that the agent was told.
async fn connect(
    target: &Target,
    port: u16,
    limit: Duration,
) -> Result<(SocketAddr, TcpStream), String> {
    let told = target.address.as_ref().and_then(|a| a.parse::<IpAddr>().ok());
    let candidates =
        [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), told, Some(Ipv6Addr::LOCALHOST.into())];
    let mut first_error = None;
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
                first_error.get_or_insert_with(|| format!("{address}: no answer"));
            }
        }
    }
    Err(first_error.unwrap_or_else(|| format!("nothing listens on port {port}")))
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

enum Card {
    Found,
    /// Every path answers 404: an HTTP server without a card.
    None,
    NotYet(String),
}

async fn card(
    target: &Target,
    stream: TcpStream,
    address: SocketAddr,
    port: u16,
    limit: Duration,
) -> Card {
    let mut stream = Some(stream);
    let mut missing = 0;
    let mut last = String::new();
    for path in CARD_PATHS {
        let connected = match stream.take() {
            Some(stream) => Ok((address, stream)),
            None => connect(target, port, limit).await,
        };
        let (address, open) = match connected {
            Ok(connected) => connected,
            Err(text) => return Card::NotYet(text),
        };
        match http::get(open, address, path, limit).await {
            Ok(200 | 401 | 403) => return Card::Found,
            Ok(404) => missing += 1,
            Ok(code) => last = format!("GET {path} on port {port} answers {code}"),
            Err(error) => last = format!("GET {path} on port {port}: {error}"),
        }
    }
    if missing == CARD_PATHS.len() { Card::None } else { Card::NotYet(last) }
}

/// Runs a check beside the agent: with its environment, in its folder, in a group of its own.
///
/// tokio's own process handling is used here and nowhere else in noded: these are noded's
/// children, not agents, and the spawner and steps do all other reaping.
async fn exec(pid: i32, command: &[String], limit: Duration) -> Look {
    let Some((program, args)) = command.split_first() else {
        return Look::NotYet("no command".to_owned());
    };
    let started = tokio::process::Command::new(program)
        .args(args)
        .env_clear()
        .envs(proc::environment(pid))
        .current_dir(format!("/proc/{pid}/cwd"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Look::NotYet(format!("`{program}`: {error}")),
    };
    match timeout(limit, child.wait()).await {
        Ok(Ok(status)) if status.success() => Look::Ready(Level::Command),
        Ok(Ok(status)) => Look::NotYet(format!("`{program}` ended with {status}")),
        Ok(Err(error)) => Look::NotYet(format!("`{program}`: {error}")),
        Err(_) => {
            // Unreaped, so the group's number is still its own.
            if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()) {
                let _ = pidfd::signal_group(group, SignalNumber::KILL);
            }
            let _ = child.wait().await;
            Look::NotYet(format!("`{program}` took longer than {}", seconds(limit)))
        }
    }
}
