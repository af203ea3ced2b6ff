//! Why a text is no card.

/// Why a text is no card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// More bytes than any card has.
    #[error("the card has {bytes} bytes; at most {max} are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not JSON, or nested too deeply.
    #[error("the card is no JSON: {why}; it begins with `{begins}`")]
    NotJson {
        /// What the reader says, with line and column.
        why: String,
        /// Its first characters.
        begins: String,
    },
    /// JSON, but a list or a plain value.
    #[error("the card is {found}, not an object")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// An object with nothing in it that a card has, such as a server's error.
    #[error("the object has neither a name nor a URL, so it is no agent card; it has {members}")]
    NotACard {
        /// The members that it has.
        members: String,
    },
}
