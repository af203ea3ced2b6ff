//! An agent's card: who it is, where it can be called and in which dialect; and what of that a
//! peer could not use.
//!
//! Read tolerantly, because four formats live side by side: A2A 1.0 (`supportedInterfaces`), 0.3
//! (`url`, `preferredTransport`, `additionalInterfaces`), 0.2 (`url` alone) and the original
//! project's `agent-configuration`. Fetching a card is not known here.

mod check;
mod error;
mod interface;
mod member;
mod parse;
mod url;

pub(crate) use url::shown;

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod parse_tests;

pub use check::{CardWarning, Trouble, View, check};
pub use error::CardError;
pub use interface::{Binding, Interface, ProtocolVersion};
pub use parse::{
    CARD_BYTES_MAX, Card, CardFormat, CardPath, Fault, SchemeKind, SecurityScheme, Skill,
};
pub use url::{Host, Scheme, UrlError, WebUrl};
