//! Colour, where it is wanted.

use crate::cli::ColorChoice;

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// No escape sequences.
    Plain,
    /// With colour.
    Colour,
}

const RESET: &str = "\x1b[0m";
/// Readable on dark and on light ground.
const TAGS: [&str; 6] = ["\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[31m"];

impl Style {
    /// `no_color` is whether NO_COLOR is set and not empty (no-color.org).
    pub(crate) fn choose(choice: ColorChoice, terminal: bool, no_color: bool) -> Self {
        match choice {
            ColorChoice::Always => Self::Colour,
            ColorChoice::Never => Self::Plain,
            ColorChoice::Auto if terminal && !no_color => Self::Colour,
            ColorChoice::Auto => Self::Plain,
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("{code}{text}{RESET}"),
        }
    }

    pub(crate) fn error(self, text: &str) -> String {
        self.paint("\x1b[1;31m", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.paint("\x1b[1;33m", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("\x1b[32m", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("\x1b[1m", text)
    }

    /// A line's tag, with the space behind it.
    pub(crate) fn tag(self, rank: u32, tag: &str) -> Vec<u8> {
        let colour = TAGS[rank as usize % TAGS.len()];
        format!("{} ", self.paint(colour, tag)).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        use ColorChoice::{Always, Auto, Never};
        assert_eq!(Style::choose(Auto, true, false), Style::Colour);
        assert_eq!(Style::choose(Auto, false, false), Style::Plain);
        assert_eq!(Style::choose(Auto, true, true), Style::Plain);
        assert_eq!(Style::choose(Always, false, true), Style::Colour);
        assert_eq!(Style::choose(Never, true, false), Style::Plain);
    }

    #[test]
    fn tags() {
        assert_eq!(Style::Plain.tag(3, "[3 w@n1]"), b"[3 w@n1] ");
        assert_eq!(Style::Colour.tag(6, "[6 w@n1]"), b"\x1b[36m[6 w@n1]\x1b[0m ");
    }
}
