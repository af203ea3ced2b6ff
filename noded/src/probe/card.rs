//! An agent's card, under whichever of its well-known paths it answers.

use std::net::SocketAddr;
use std::time::Duration;

use a2arun_core::seen::SeenCard;
use tokio::net::TcpStream;

use super::{Target, http, look};

/// Where a card may be: A2A 0.3 and 1.0 (RFC 8615), 0.2, and the original format of agents.
const CARD_PATHS: [&str; 3] =
    ["/.well-known/agent-card.json", "/.well-known/agent.json", "/.well-known/agent-configuration"];

/// What came of looking for it.
pub(super) enum Found {
    /// It answers with 200, 401 or 403.
    Card(SeenCard),
    /// Every path answers that there is nothing to GET: an HTTP server without a card.
    None,
    NotYet(String),
}

pub(super) async fn find(
    target: &Target,
    stream: TcpStream,
    address: SocketAddr,
    port: u16,
    limit: Duration,
) -> Found {
    let mut stream = Some((address, stream));
    let mut missing = 0;
    let mut last = String::new();
    for path in CARD_PATHS {
        let connected = match stream.take() {
            Some(connected) => Ok(connected),
            None => look::connect(target, port, limit).await,
        };
        let (address, open) = match connected {
            Ok(connected) => connected,
            Err(unconnected) => return Found::NotYet(unconnected.text),
        };
        match http::get(open, address, path, limit, SeenCard::TEXT_BYTES_MAX).await {
            Ok(http::Answer { status: status @ (200 | 401 | 403), body }) => {
                let text = body.filter(|_| status == 200).and_then(|b| String::from_utf8(b).ok());
                return Found::Card(SeenCard { path: path.to_owned(), status, text });
            }
            // A server that only takes POST says so with 405, Python's http.server with 501.
            Ok(http::Answer { status: 404 | 405 | 410 | 501, .. }) => missing += 1,
            Ok(answer) => last = format!("GET {path} on port {port} answers {}", answer.status),
            Err(error) => last = format!("GET {path} on port {port}: {error}"),
        }
    }
    if missing == CARD_PATHS.len() { Found::None } else { Found::NotYet(last) }
}
