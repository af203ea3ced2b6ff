//! A small HTTP/1.1 client and the two A2A calls, for asking agents.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(10);

/// `GET` of `path` at `url` (its own path is left out): status and body.
///
/// # Errors
/// When nobody answers in time.
pub fn get(url: &str, path: &str) -> Result<(u16, String)> {
    exchange(url, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", host_of(url)?), "")
}

/// The agent card at its A2A 1.0 place.
///
/// # Errors
/// When there is none.
pub fn card(url: &str) -> Result<Value> {
    match get(url, "/.well-known/agent-card.json")? {
        (200, body) => Ok(serde_json::from_str(&body)?),
        (status, _) => bail!("{url}: the card's path answers {status}"),
    }
}

/// `SendMessage` of A2A 1.0; the text of the answer.
///
/// # Errors
/// When the agent does not answer, or with an error.
pub fn ask(url: &str, text: &str) -> Result<String> {
    let message = json!({"messageId": "1", "role": "ROLE_USER", "parts": [{"text": text}]});
    let reply = rpc(url, "SendMessage", &json!({"message": message}), "1.0")?;
    text_of(&reply["result"]["message"])
}

/// `message/send` of A2A 0.3; the text of the answer.
///
/// # Errors
/// When the agent does not answer, or with an error.
pub fn ask_v03(url: &str, text: &str) -> Result<String> {
    let parts = json!([{"kind": "text", "text": text}]);
    let message = json!({"kind": "message", "messageId": "1", "role": "user", "parts": parts});
    let reply = rpc(url, "message/send", &json!({"message": message}), "0.3")?;
    text_of(&reply["result"])
}

fn rpc(url: &str, method: &str, params: &Value, version: &str) -> Result<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nA2A-Version: {version}\r\nContent-Length: {}\r\n",
        host_of(url)?,
        body.len()
    );
    let (status, answer) = exchange(url, &head, &body)?;
    let reply: Value =
        serde_json::from_str(&answer).with_context(|| format!("{url}: {status}: {answer}"))?;
    match reply.get("error") {
        None => Ok(reply),
        Some(error) => bail!("{url}: {error}"),
    }
}

fn text_of(message: &Value) -> Result<String> {
    let parts = message["parts"].as_array().ok_or_else(|| anyhow!("no parts in {message}"))?;
    Ok(parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"))
}

/// `host:port` of `http://host:port/…`.
///
/// # Errors
/// When it is no such URL.
pub fn host_of(url: &str) -> Result<&str> {
    let rest = url.strip_prefix("http://").with_context(|| format!("not an http URL: {url}"))?;
    Ok(rest.split('/').next().unwrap_or(rest))
}

fn exchange(url: &str, head: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(host_of(url)?).with_context(|| url.to_owned())?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("reading from {url}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).with_context(|| format!("{url} answers no HTTP: {answer:?}"))
}
