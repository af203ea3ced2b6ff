//! Looking for an agent's card.

use a2arun_core::a2a::Method;
use a2arun_core::card::{CARD_BYTES_MAX, Card, CardPath, WebUrl};
use http::StatusCode;

use crate::a2a::http::{Ask, Client, HttpError};

/// A card and where it was.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) card: Card,
    /// Its own URL.
    pub(crate) at: WebUrl,
    /// As it came.
    pub(crate) raw: Vec<u8>,
}

/// What looking for a card gave.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    /// It is there.
    Found(Box<Found>),
    /// The server answers, but has none: what it said at each place.
    None(Vec<(WebUrl, String)>),
    /// The server wants to know who asks.
    Refused { at: WebUrl, status: StatusCode },
}

/// Looks below the URL, then at its server's root, newest format first.
///
/// # Errors
/// When the server cannot be reached.
pub(crate) async fn find_card(client: &Client, url: &WebUrl) -> Result<Lookup, HttpError> {
    let mut said = Vec::new();
    let mut refused = None;
    for (path, at) in places(url) {
        let request = Ask {
            method: Method::Get,
            url: &at,
            accept: "application/json",
            version: None,
            body: None,
        };
        let response = client.send(request).await?;
        match response.status {
            StatusCode::OK => {
                let raw = response.bytes(CARD_BYTES_MAX + 1).await?;
                match Card::parse_at(path, &raw) {
                    Ok(card) => return Ok(Lookup::Found(Box::new(Found { card, at, raw }))),
                    Err(error) => said.push((at, error.to_string())),
                }
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                refused.get_or_insert((at, status));
            }
            status => said.push((at, status.to_string())),
        }
    }
    Ok(match refused {
        Some((at, status)) => Lookup::Refused { at, status },
        None => Lookup::None(said),
    })
}

fn places(url: &WebUrl) -> Vec<(CardPath, WebUrl)> {
    let path = url.path.split('?').next().unwrap_or_default();
    // The URL of a card itself.
    if let Some(kind) = CardPath::ALL.into_iter().find(|kind| path.ends_with(kind.as_str())) {
        return vec![(kind, url.clone())];
    }
    if path.ends_with(".json") {
        return vec![(CardPath::AgentCard, url.clone())];
    }
    let root = WebUrl::origin(url.scheme, url.host.clone(), url.port);
    let mut bases = vec![WebUrl { path: path.to_owned(), ..url.clone() }];
    if !path.trim_end_matches('/').is_empty() {
        bases.push(root);
    }
    let below = |base: &WebUrl| CardPath::ALL.map(|kind| (kind, base.below(kind.as_str())));
    bases.iter().flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_cards_are_looked_for() {
        let check = |url: &str| {
            let places = places(&url.parse().unwrap());
            places.iter().map(|(_, at)| at.to_string()).collect::<Vec<_>>().join(" ")
        };
        insta::assert_snapshot!(check("http://n1:1"), @"http://n1:1/.well-known/agent-card.json http://n1:1/.well-known/agent.json http://n1:1/.well-known/agent-configuration");
        insta::assert_snapshot!(check("http://n1:1/sub/a2a/"), @"http://n1:1/sub/a2a/.well-known/agent-card.json http://n1:1/sub/a2a/.well-known/agent.json http://n1:1/sub/a2a/.well-known/agent-configuration http://n1:1/.well-known/agent-card.json http://n1:1/.well-known/agent.json http://n1:1/.well-known/agent-configuration");
        insta::assert_snapshot!(check("http://n1:1/x/.well-known/agent.json"), @"http://n1:1/x/.well-known/agent.json");
        insta::assert_snapshot!(check("http://n1:1/cards/me.json?v=1"), @"http://n1:1/cards/me.json?v=1");
    }
}
