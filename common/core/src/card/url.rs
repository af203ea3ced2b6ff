//! The part of a URL that matters for calling an agent: scheme, host, port, path (RFC 3986 §3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What is spoken below the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, in lower case, without a final dot.
    Name(String),
}

impl Host {
    /// An address or a name; brackets around IPv6 may be there or not. `None`: neither.
    pub fn read(text: &str) -> Option<Self> {
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        // A zone (RFC 6874) is meaningful on its own machine alone; the address is what counts.
        let address = inner.split_once('%').map_or(inner, |(address, _)| address);
        if let Ok(ip) = address.parse::<IpAddr>() {
            return Some(Self::Ip(canonical(ip)));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        let labels = name.split('.').all(|label| !label.is_empty() && label.chars().all(good));
        (labels && name.len() <= 253).then(|| Self::Name(name.to_ascii_lowercase()))
    }

    /// Bound to by servers that mean "every address of mine"; no client can call it elsewhere.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Ip(ip) if ip.is_unspecified())
    }

    /// The machine that asks.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            // RFC 6761 §6.3: every name below `localhost.` is loopback.
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// `::ffff:127.0.0.1` is 127.0.0.1.
fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(six)) => write!(f, "[{six}]"),
            Self::Ip(IpAddr::V4(four)) => four.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Why a text is no URL that an agent can be called at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no URL of the form http://HOST[:PORT][/PATH]: {why}")]
pub struct UrlError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// An absolute `http` or `https` URL. User information and fragments are not kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebUrl {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Where.
    pub host: Host,
    /// Its port; the scheme's where none is written.
    pub port: u16,
    /// Begins with `/`, or is empty; the query is part of it.
    pub path: String,
}

impl WebUrl {
    /// The address of a server, without a path.
    pub fn origin(scheme: Scheme, host: Host, port: u16) -> Self {
        Self { scheme, host, port, path: String::new() }
    }

    /// `host:port` as gRPC writes it (A2A 1.0 §4.4.6), or any URL. Without a port it is 443.
    pub fn read_grpc(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        for prefix in ["grpc://", "dns:///", "dns:", "ipv4:", "ipv6:"] {
            if let Some(rest) = text.strip_prefix(prefix) {
                return read_rest(text, Scheme::Http, rest);
            }
        }
        match text.split_once("://") {
            Some(("grpcs", rest)) => read_rest(text, Scheme::Https, rest),
            Some(_) => text.parse(),
            None => read_rest(text, Scheme::Http, text),
        }
    }

    /// What `reference` means where this URL was read: absolute, `//host/path`, or `/path`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.trim();
        if let Some(rest) = reference.strip_prefix("//") {
            return read_rest(reference, self.scheme, rest);
        }
        if reference.starts_with('/') {
            let path = reference.split('#').next().unwrap_or_default();
            check_path(reference, path)?;
            return Ok(Self { path: path.to_owned(), ..self.clone() });
        }
        reference.parse()
    }

    /// The path with `tail` behind it, one slash between them; a query stays at the end.
    #[must_use]
    pub fn below(&self, tail: &str) -> Self {
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.path.as_str(), None),
        };
        let mut joined = format!("{}/{}", path.trim_end_matches('/'), tail.trim_start_matches('/'));
        if let Some(query) = query {
            joined.push('?');
            joined.push_str(query);
        }
        Self { path: joined, ..self.clone() }
    }

    /// `host:port`, as a `Host` header and a resolver take it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for WebUrl {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let trimmed = text.trim();
        let (scheme, rest) = trimmed.split_once("://").ok_or_else(|| error(text, "no scheme"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(error(text, "the scheme is neither http nor https")),
        };
        read_rest(trimmed, scheme, rest)
    }
}

fn error(text: &str, why: &'static str) -> UrlError {
    UrlError { text: shown(text), why }
}

/// Short enough for a message, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 200;
    let short: String = text.chars().take(SHOWN_MAX).collect();
    let mark = if short.len() < text.len() { "…" } else { "" };
    format!("{}{mark}", short.escape_debug())
}

fn check_path(text: &str, path: &str) -> Result<(), UrlError> {
    // What goes into a request line must not end it.
    if path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(error(text, "a blank or a control character"));
    }
    Ok(())
}

fn read_rest(text: &str, scheme: Scheme, rest: &str) -> Result<WebUrl, UrlError> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    check_path(text, path)?;
    let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = split_port(place);
    let port = match port {
        None | Some("") => scheme.port(),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse() {
            Ok(0) | Err(_) => return Err(error(text, "the port is not in 1..65535")),
            Ok(port) => port,
        },
        Some(_) => return Err(error(text, "the port is no number")),
    };
    let host = Host::read(host).ok_or_else(|| error(text, "no host"))?;
    Ok(WebUrl { scheme, host, port, path })
}

/// Host and port; colons of an IPv6 address in brackets are its own.
fn split_port(place: &str) -> (&str, Option<&str>) {
    if place.starts_with('[') {
        return match place.find(']') {
            Some(close) => {
                let (host, rest) = place.split_at(close + 1);
                (host, rest.strip_prefix(':'))
            }
            None => (place, None),
        };
    }
    // Without brackets, several colons are an address and no port.
    if place.matches(':').count() > 1 {
        return (place, None);
    }
    match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl From<Ipv4Addr> for Host {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(IpAddr::V4(ip))
    }
}

impl From<Ipv6Addr> for Host {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ip(canonical(IpAddr::V6(ip)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let mut text = String::new();
        for url in [
            "http://a",
            "HTTP://A.Example.:8080/x/?y=1#z",
            "https://a:443/",
            "http://u:p@[::1]:20001/a2a",
            "http://[::ffff:127.0.0.1]",
            "http://::1/",
            "http://a?q",
            " http://a:9/b ",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:99999",
            "http://a:b",
            "http://a b/",
            "http://a/b c",
            "http://[::1",
            "ftp://a",
            "a:80",
            "/a2a",
            "",
        ] {
            let read = url.parse::<WebUrl>().map_or_else(|e| e.to_string(), |u| u.to_string());
            text.push_str(&format!("{url} → {read}\n"));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn grpc_places_and_references() {
        let grpc = |t: &str| WebUrl::read_grpc(t).map_or_else(|e| e.why.into(), |u| u.authority());
        assert_eq!(grpc("n1:50051"), "n1:50051");
        assert_eq!(grpc("grpc://n1:50051"), "n1:50051");
        assert_eq!(grpc("dns:///n1:1"), "n1:1");
        assert_eq!(grpc("[::]:1"), "[::]:1");
        assert_eq!(grpc("https://g.example/x"), "g.example:443");
        assert_eq!(grpc(""), "no host");
        let base: WebUrl = "http://n1:20001/a/".parse().unwrap();
        assert_eq!(base.join("/x?y#z").unwrap().to_string(), "http://n1:20001/x?y");
        assert_eq!(base.join("//m/x").unwrap().to_string(), "http://m/x");
        assert_eq!(base.join("https://m").unwrap().to_string(), "https://m");
        assert!(base.join("x").is_err());
        assert_eq!(base.below("/b").to_string(), "http://n1:20001/a/b");
        let asked: WebUrl = "http://n1?k=v".parse().unwrap();
        assert_eq!(asked.below("b").to_string(), "http://n1/b?k=v");
    }

    #[test]
    fn what_was_written_is_read_again() {
        proptest::proptest!(|(text in "(https?|HTTP)://[a-z0-9.:@\\[\\]-]{0,20}(:[0-9]{0,6})?[/?#]?\\PC{0,20}")| {
            if let Ok(url) = text.parse::<WebUrl>() {
                let again: WebUrl = url.to_string().parse().unwrap();
                proptest::prop_assert_eq!(again, url);
            }
            let _ = WebUrl::read_grpc(&text);
        });
    }
}
