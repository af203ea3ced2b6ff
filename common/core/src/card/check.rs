//! What a peer that reads the card could not use.
//!
//! An agent is called at the URL that the job gave it; peers that go by its card call what the
//! card says. A card that says something else is the most common reason why a job that is up does
//! not work.

use std::fmt;

use crate::card::interface::{Binding, Interface};
use crate::card::parse::{Card, CardFormat};
use crate::card::url::{Host, Scheme, UrlError, WebUrl, shown};

/// How the instance is reached.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its URL, as its callers have it.
    pub url: &'a WebUrl,
    /// Its ports beside the URL's.
    pub ports: &'a [u16],
    /// Other names and addresses of its host.
    pub names: &'a [&'a str],
}

impl<'a> View<'a> {
    /// An instance of which nothing but the URL is known.
    pub fn of(url: &'a WebUrl) -> Self {
        Self { url, ports: &[], names: &[] }
    }
}

/// What is wrong with an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The card names no place at all.
    NoInterface,
    /// No URL.
    NotAUrl(&'static str),
    /// 0.0.0.0 or `::`: to be bound to, not to be called.
    Wildcard,
    /// A caller on another host would call itself.
    Loopback,
    /// Another machine.
    OtherHost,
    /// A port that was not given to this instance.
    OtherPort,
    /// `https` on a port that speaks plain HTTP, or the other way round.
    OtherScheme,
}

/// Something that a peer could not use. Names both URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardWarning {
    /// What is wrong.
    pub trouble: Trouble,
    /// The URL in the card, as written.
    pub card_url: String,
    /// What is spoken there.
    pub binding: Option<Binding>,
    /// The URL under which the agent is called.
    pub url: String,
}

impl fmt::Display for CardWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.trouble == Trouble::NoInterface {
            return write!(f, "its card names no URL; it is called at {}", self.url);
        }
        write!(f, "its card says {}", shown(&self.card_url))?;
        if let Some(binding) = &self.binding {
            write!(f, " ({})", shown(&binding.to_string()))?;
        }
        match &self.trouble {
            Trouble::NoInterface => {}
            Trouble::NotAUrl(why) => write!(f, ", which is no URL ({why})")?,
            Trouble::Wildcard => write!(f, ", an address to bind to, not to call")?,
            Trouble::Loopback => write!(f, ", where a caller on another host finds itself")?,
            Trouble::OtherHost => write!(f, ", which is another host")?,
            Trouble::OtherPort => write!(f, ", a port that is not its own")?,
            Trouble::OtherScheme => write!(f, ", which its port does not speak")?,
        }
        write!(f, "; it is called at {}", self.url)
    }
}

impl CardWarning {
    /// How the agent's author mends it.
    pub fn hint(&self) -> &'static str {
        "let the agent put the value of A2A_PUBLIC_URL into its card"
    }
}

/// What of a card's interfaces a peer could not use, in the card's order, one warning for each
/// URL that is wrong.
pub fn check(card: &Card, view: View<'_>) -> Vec<CardWarning> {
    if card.interfaces().is_empty() {
        // The original's callers never read the URL in its card.
        return match card.format {
            CardFormat::Original => Vec::new(),
            CardFormat::V1_0 | CardFormat::V0_3 | CardFormat::V0_2 => {
                let url = view.url.to_string();
                let card_url = String::new();
                vec![CardWarning { trouble: Trouble::NoInterface, card_url, binding: None, url }]
            }
        };
    }
    let mut warnings: Vec<CardWarning> = Vec::new();
    for interface in card.interfaces() {
        let Some(trouble) = trouble(interface, view) else { continue };
        let same = |w: &CardWarning| w.card_url == interface.url && w.trouble == trouble;
        if !warnings.iter().any(same) {
            warnings.push(CardWarning {
                trouble,
                card_url: interface.url.clone(),
                binding: Some(interface.binding.clone()),
                url: view.url.to_string(),
            });
        }
    }
    warnings
}

fn trouble(interface: &Interface, view: View<'_>) -> Option<Trouble> {
    let read = match interface.binding {
        Binding::Grpc => WebUrl::read_grpc(&interface.url),
        // A binding of somebody's own may have addresses of its own (1.0 §12.7).
        Binding::Other(_) => match interface.url.parse() {
            Ok(url) => Ok(url),
            Err(_) => return None,
        },
        Binding::JsonRpc | Binding::Rest | Binding::Query => interface.url.parse(),
    };
    let url: WebUrl = match read {
        Ok(url) => url,
        Err(UrlError { why, .. }) => return Some(Trouble::NotAUrl(why)),
    };
    if url.host.is_wildcard() {
        return Some(Trouble::Wildcard);
    }
    let port = url.port == view.url.port || view.ports.contains(&url.port);
    if url.host.is_loopback() {
        if !view.url.host.is_loopback() {
            return Some(Trouble::Loopback);
        }
        if !same_loopback(&url.host, &view.url.host) {
            return Some(Trouble::OtherHost);
        }
    } else if url.host != view.url.host && !is_named(&url.host, view.names) {
        return Some(Trouble::OtherHost);
    }
    if !port {
        return Some(Trouble::OtherPort);
    }
    // gRPC's `host:port` says nothing of TLS; the schemes of two ports are their own.
    let plain = matches!(interface.binding, Binding::Grpc) && !interface.url.contains("://");
    if url.port == view.url.port && url.scheme != view.url.scheme && !plain {
        return Some(Trouble::OtherScheme);
    }
    None
}

/// `localhost` is 127.0.0.1 for everybody; `::1` is another address.
fn same_loopback(a: &Host, b: &Host) -> bool {
    match (a, b) {
        (Host::Ip(a), Host::Ip(b)) => a == b,
        (Host::Name(_), Host::Name(_)) => true,
        (Host::Name(_), Host::Ip(ip)) | (Host::Ip(ip), Host::Name(_)) => {
            ip.is_ipv6() || *ip == std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)
        }
    }
}

fn is_named(host: &Host, names: &[&str]) -> bool {
    names.iter().any(|name| Host::read(name).as_ref() == Some(host))
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
