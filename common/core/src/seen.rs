//! What a host saw of an instance when it became ready.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Where its tree listens, in order.
    pub listens: Vec<SocketAddr>,
    /// Its card, where one answers.
    pub card: Option<SeenCard>,
}

/// An answer under one of a card's well-known paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCard {
    /// The path, beginning with `/`.
    pub path: String,
    /// 200; 401 and 403 come without a card.
    pub status: u16,
    /// The card's text; `None`: not to be had, or larger than [`SeenCard::TEXT_BYTES_MAX`].
    pub text: Option<String>,
}

impl SeenCard {
    /// Larger cards are not moved.
    pub const TEXT_BYTES_MAX: usize = 64 << 10;
}
