//! Talking to agents: their cards, and asking them in the dialect that the card names. What is
//! sent and what an answer means is in core; here are connections, fallbacks and waiting.
//!
//! Nothing is printed here: whoever asks gets each [`Step`] as it happens.

mod ask;
mod error;
mod find;
mod http;
mod tls;

pub(crate) use ask::{Answer, AskOptions, Asked, Step, ask};
pub(crate) use error::AskError;
pub(crate) use find::{Found, Lookup, find_card};
pub(crate) use http::Client;
