//! In which dialects and where an agent is asked, by its card or without one.

use a2arun_core::a2a::Dialect;
use a2arun_core::card::{CardFormat, Interface, Trouble, WebUrl, check};

use crate::a2a::ask::{Asked, OnStep, Step};
use crate::a2a::error::AskError;
use crate::a2a::find::Found;

/// A dialect at a URL.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) dialect: Dialect,
    pub(super) url: WebUrl,
    pub(super) tenant: Option<String>,
    pub(super) streams: bool,
}

/// Without a card: what the original's agents take, then A2A at the URL itself.
pub(super) fn guesses(url: &WebUrl) -> Vec<Way> {
    let way = |dialect| Way { dialect, url: url.clone(), tenant: None, streams: false };
    [Dialect::Query, Dialect::JsonRpc1, Dialect::JsonRpc03].map(way).into()
}

/// The card's interfaces that we speak, in its order (1.0 §8.3.2).
pub(super) fn card_ways(
    found: &Found,
    asked: &Asked,
    on: OnStep<'_>,
) -> Result<Vec<Way>, AskError> {
    let card = &found.card;
    if card.interfaces().is_empty() {
        return Ok(match card.format {
            // Its callers never read a URL in it.
            CardFormat::Original => guesses(&asked.url).into_iter().take(1).collect(),
            CardFormat::V1_0 | CardFormat::V0_3 | CardFormat::V0_2 => guesses(&asked.url),
        });
    }
    let names: Vec<&str> = asked.names.iter().map(String::as_str).collect();
    let warnings = check(card, asked.view(&names));
    let mut said = Vec::new();
    let mut ways = Vec::new();
    for interface in card.interfaces() {
        let Some(dialect) = Dialect::of(interface) else { continue };
        let warning = warnings.iter().find(|w| w.card_url == interface.url);
        let resolved = interface.resolve(&found.at).ok();
        let url = match (warning, resolved) {
            (None, Some(url)) => url,
            (Some(warning), Some(url)) if is_fine_elsewhere(&warning.trouble, asked) => url,
            (warning, resolved) => {
                if let Some(warning) = warning
                    && !said.contains(warning)
                {
                    on(Step::Warning(format!("{}: {warning}", asked.who)));
                    said.push(warning.clone());
                }
                let path = resolved.map_or_else(String::new, |url| url.path);
                let path = if path.is_empty() { asked.url.path.clone() } else { path };
                WebUrl { path, ..asked.url.clone() }
            }
        };
        // The original says that it streams, and does not at /query.
        let streams = card.streaming == Some(true) && dialect.streams();
        ways.push(Way { dialect, url, tenant: interface.tenant.clone(), streams });
    }
    if ways.is_empty() {
        let offers = offers(card.interfaces());
        return Err(AskError::NoDialect { who: asked.who.clone(), offers });
    }
    Ok(ways)
}

/// A person who names a server trusts its card to name another one; a job knows where its
/// instances are.
fn is_fine_elsewhere(trouble: &Trouble, asked: &Asked) -> bool {
    match trouble {
        Trouble::OtherHost | Trouble::OtherPort | Trouble::OtherScheme => !asked.instance,
        Trouble::NotAUrl(_) | Trouble::Wildcard | Trouble::Loopback | Trouble::NoInterface => false,
    }
}

fn offers(interfaces: &[Interface]) -> String {
    let words: Vec<String> =
        interfaces.iter().map(|i| format!("{} {} at {}", i.binding, i.version, i.url)).collect();
    words.join(", ")
}
