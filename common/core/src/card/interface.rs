//! One place where an agent can be called, and what is spoken there.

use std::fmt;

use crate::card::url::{UrlError, WebUrl};

/// What is spoken at an interface: A2A's bindings (1.0 §§9–11), or the original's `/query`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binding {
    /// JSON-RPC 2.0 over HTTP POST (§9).
    JsonRpc,
    /// HTTP+JSON, also called REST (§11).
    Rest,
    /// gRPC (§10).
    Grpc,
    /// The original project's `POST /query`.
    Query,
    /// A binding of somebody's own (§5.8), as written.
    Other(String),
}

impl Binding {
    /// From `protocolBinding` or `transport`, in any case and with or without its signs.
    pub fn read(text: &str) -> Self {
        let plain: String =
            text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        match plain.as_str() {
            "jsonrpc" | "jsonrpc20" => Self::JsonRpc,
            "httpjson" | "rest" | "http" => Self::Rest,
            "grpc" => Self::Grpc,
            _ => Self::Other(text.trim().to_owned()),
        }
    }

    /// As A2A writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::JsonRpc => "JSONRPC",
            Self::Rest => "HTTP+JSON",
            Self::Grpc => "GRPC",
            Self::Query => "query",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str().chars().take(80).collect::<String>())
    }
}

/// `Major.Minor` of the A2A protocol; patch numbers say nothing (1.0 §3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// Before the dot.
    pub major: u16,
    /// Behind it.
    pub minor: u16,
}

impl ProtocolVersion {
    /// 1.0.
    pub const V1_0: Self = Self { major: 1, minor: 0 };
    /// 0.3.
    pub const V0_3: Self = Self { major: 0, minor: 3 };
    /// 0.2.
    pub const V0_2: Self = Self { major: 0, minor: 2 };

    /// `1`, `1.0`, `v0.3.0`, `1.0-rc`; `None`: it is no version.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut parts = text.split(|c: char| !c.is_ascii_digit());
        let major = parts.next()?.parse().ok()?;
        let dotted = text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('.');
        let minor = if dotted { parts.next()?.parse().ok()? } else { 0 };
        Some(Self { major, minor })
    }

    /// Before 1.0: other method names, other JSON (1.0 §A.2.1).
    pub fn is_legacy(self) -> bool {
        self.major == 0
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// One place where an agent can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the card has it, blanks at its ends cut; it need not be a URL.
    pub url: String,
    /// What is spoken there.
    pub binding: Binding,
    /// The protocol's version; where the card says none, its format's.
    pub version: ProtocolVersion,
    /// Goes into every request to it (1.0 §8.3.2).
    pub tenant: Option<String>,
}

impl Interface {
    /// Its URL, read where the card was read: `/a2a` means the same server.
    ///
    /// # Errors
    /// When it is none.
    pub fn resolve(&self, card_url: &WebUrl) -> Result<WebUrl, UrlError> {
        match self.binding {
            Binding::Grpc => WebUrl::read_grpc(&self.url),
            Binding::JsonRpc | Binding::Rest | Binding::Query | Binding::Other(_) => {
                card_url.join(&self.url)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_in_every_spelling() {
        for text in ["JSONRPC", "jsonrpc", "JSON-RPC", "json_rpc", "JSON-RPC 2.0"] {
            assert_eq!(Binding::read(text), Binding::JsonRpc, "{text}");
        }
        for text in ["HTTP+JSON", "http_json", "REST", "HTTP"] {
            assert_eq!(Binding::read(text), Binding::Rest, "{text}");
        }
        assert_eq!(Binding::read("gRPC"), Binding::Grpc);
        let own = "https://example.com/bindings/websocket/v1";
        assert_eq!(Binding::read(own), Binding::Other(own.to_owned()));
    }

    #[test]
    fn versions() {
        let read = |text| ProtocolVersion::read(text).map(|v| v.to_string());
        for (text, want) in [
            ("1.0", Some("1.0")),
            ("1", Some("1.0")),
            ("v1", Some("1.0")),
            ("0.3.0", Some("0.3")),
            ("0.2.6", Some("0.2")),
            ("1.0-rc", Some("1.0")),
            ("2.11", Some("2.11")),
            ("", None),
            ("latest", None),
            ("1.", None),
            ("99999.0", None),
        ] {
            assert_eq!(read(text).as_deref(), want, "{text}");
        }
        assert!(ProtocolVersion::V0_3.is_legacy() && !ProtocolVersion::V1_0.is_legacy());
    }
}
