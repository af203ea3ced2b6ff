//! Values that nobody may read, starred out of a stream of bytes.
//!
//! A value may come in pieces: what could be the beginning of one is held back until more comes or
//! the stream ends. Values of fewer than [`BYTES_MIN`] bytes are left alone, because they would
//! star out words that are none. A value that was encoded (base64, JSON escapes) is not found.

use std::sync::Arc;

/// Shorter values are not masked.
pub const BYTES_MIN: usize = 6;

/// What stands in the place of a value, whatever its length.
pub const STARS: &str = "******";

/// The values; cheap to clone. Its `Debug` shows none.
#[derive(Clone, Default)]
pub struct Mask(Option<Arc<Values>>);

struct Values {
    /// By their first byte, longest first.
    by_first: Vec<Vec<Box<[u8]>>>,
    /// Which two bytes a value begins with, a bit each: most places of a text are dismissed by it.
    pairs: Vec<u64>,
    count: usize,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} values)", self.0.as_ref().map_or(0, |v| v.count))
    }
}

impl Mask {
    /// Of these values; of one with several lines, each line counts as well.
    pub fn new<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> Self {
        let mut all: Vec<Box<[u8]>> = Vec::new();
        for value in values {
            let value = value.as_ref().trim_matches(['\n', '\r']);
            let lines = value.split('\n').map(|line| line.trim_end_matches('\r'));
            for part in std::iter::once(value).chain(lines) {
                if part.trim().len() >= BYTES_MIN {
                    all.push(part.as_bytes().into());
                }
            }
        }
        all.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        if all.is_empty() {
            return Self(None);
        }
        let (mut by_first, mut pairs) = (vec![Vec::new(); 256], vec![0_u64; 1024]);
        let count = all.len();
        for value in all {
            let pair = pair(value[0], value[1]);
            pairs[pair / 64] |= 1 << (pair % 64);
            by_first[usize::from(value[0])].push(value);
        }
        Self(Some(Arc::new(Values { by_first, pairs, count })))
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// For one stream; `None`: there is nothing to mask.
    pub fn stream(&self) -> Option<MaskStream> {
        self.0.clone().map(|values| MaskStream { values, held: Vec::new() })
    }

    /// A whole text.
    pub fn bytes(&self, text: &[u8]) -> Vec<u8> {
        let Some(mut stream) = self.stream() else { return text.to_vec() };
        let mut out = Vec::with_capacity(text.len());
        stream.push(text, &mut out);
        stream.finish(&mut out);
        out
    }

    /// A whole text.
    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

/// One stream that is being masked.
#[derive(Clone)]
pub struct MaskStream {
    values: Arc<Values>,
    /// The beginning of a value, as far as it came.
    held: Vec<u8>,
}

impl std::fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MaskStream({} bytes held)", self.held.len())
    }
}

/// A text that comes in pieces and is masked as it comes.
#[derive(Debug, Clone, Default)]
pub struct MaskText(Option<MaskStream>);

impl MaskText {
    /// Nothing came yet.
    pub fn new(mask: &Mask) -> Self {
        Self(mask.stream())
    }

    /// What can be shown with this piece.
    pub fn push(&mut self, piece: &str) -> String {
        let Some(stream) = &mut self.0 else { return piece.to_owned() };
        let mut out = Vec::with_capacity(piece.len());
        stream.push(piece.as_bytes(), &mut out);
        // What is held begins and ends where a piece or a value does: never inside a character.
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The end: what was held.
    pub fn finish(&mut self) -> String {
        let Some(stream) = &mut self.0 else { return String::new() };
        let mut out = Vec::new();
        stream.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// What a place of the text begins with.
enum Found {
    Nothing,
    /// A value of so many bytes.
    Value(usize),
    /// Perhaps a value, and perhaps a longer one than is there: only the next bytes tell.
    Open,
}

impl Values {
    fn at(&self, rest: &[u8]) -> Found {
        let first = &self.by_first[usize::from(rest[0])];
        if let Some(second) = rest.get(1) {
            let pair = pair(rest[0], *second);
            if self.pairs[pair / 64] & 1 << (pair % 64) == 0 {
                return Found::Nothing;
            }
        }
        if first.iter().any(|v| v.len() > rest.len() && v.starts_with(rest)) {
            return Found::Open;
        }
        match first.iter().find(|v| rest.starts_with(v)) {
            Some(value) => Found::Value(value.len()),
            None => Found::Nothing,
        }
    }

    /// Where the text ends in what is known already.
    fn whole_at(&self, rest: &[u8]) -> usize {
        let first = &self.by_first[usize::from(rest[0])];
        first.iter().find(|v| rest.starts_with(v)).map_or(0, |v| v.len())
    }
}

impl MaskStream {
    /// Appends what can be shown of `data`, and of what was held, to `out`.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            let done = self.scan(data, out);
            self.held.extend_from_slice(&data[done..]);
        } else {
            let mut text = std::mem::take(&mut self.held);
            text.extend_from_slice(data);
            let done = self.scan(&text, out);
            text.drain(..done);
            self.held = text;
        }
    }

    /// The end: appends what was held.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let text = std::mem::take(&mut self.held);
        let mut rest = &text[..];
        while let Some(first) = rest.first() {
            match self.values.whole_at(rest) {
                0 => {
                    out.push(*first);
                    rest = &rest[1..];
                }
                len => {
                    out.extend_from_slice(STARS.as_bytes());
                    rest = &rest[len..];
                }
            }
        }
    }

    /// How far `text` was dealt with.
    fn scan(&self, text: &[u8], out: &mut Vec<u8>) -> usize {
        let (mut plain, mut at) = (0, 0);
        while at < text.len() {
            match self.values.at(&text[at..]) {
                Found::Nothing => at += 1,
                Found::Open => break,
                Found::Value(len) => {
                    out.extend_from_slice(&text[plain..at]);
                    out.extend_from_slice(STARS.as_bytes());
                    at += len;
                    plain = at;
                }
            }
        }
        out.extend_from_slice(&text[plain..at]);
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(values: &[&str], pieces: &[&str]) -> String {
        let mask = Mask::new(values);
        let Some(mut stream) = mask.stream() else { return pieces.concat() };
        let mut out = Vec::new();
        pieces.iter().for_each(|p| stream.push(p.as_bytes(), &mut out));
        stream.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_starred_out_wherever_they_are_cut() {
        let values = ["s3cret-value", "s3cret", "other-one"];
        for (pieces, shown) in [
            (&["key=s3cret-value\n"][..], "key=******\n"),
            (&["key=s3c", "ret-", "value\n"], "key=******\n"),
            (&["s3cret-valu", "X"], "******-valuX"),
            (&["s3cret", "-valuX s3cret"], "******-valuX ******"),
            (&["s", "3", "c", "r", "e", "t"], "******"),
            (&["other-o", "ther-one"], "other-******"),
            (&["a s3cre", "", " b"], "a s3cre b"),
            (&["s3crets3cret-value"], "************"),
            (&["plain"], "plain"),
            (&["s3cre"], "s3cre"),
        ] {
            assert_eq!(masked(&values, pieces), shown, "{pieces:?}");
        }
    }

    #[test]
    fn short_values_are_left_alone_and_lines_count_by_themselves() {
        assert_eq!(masked(&["12345", "", "     x"], &["12345      x"]), "12345      x");
        let pem = "-----BEGIN-----\nAAAABBBB\nxyz\n-----END-----\n";
        assert_eq!(masked(&[pem], &["first AAAABBBB xyz\n"]), "first ****** xyz\n");
        assert_eq!(masked(&[pem], &[pem]), "******\n");
        assert!(Mask::new(["x"]).is_empty() && Mask::default().stream().is_none());
        assert_eq!(format!("{:?}", Mask::new(["s3cret-value"])), "Mask(1 values)");
    }

    proptest! {
        /// However a text is cut, the same is shown, no value is, and nothing else is changed.
        #[test]
        fn cuts_change_nothing(
            values in proptest::collection::vec("[ab]{6,9}", 0..4),
            text in "[abc]{0,60}",
            cuts in proptest::collection::vec(0_usize..60, 0..8),
        ) {
            let mask = Mask::new(&values);
            let whole = mask.text(&text);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c <= text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut out = Vec::new();
            match mask.stream() {
                None => out.extend_from_slice(text.as_bytes()),
                Some(mut stream) => {
                    for pair in cuts.windows(2) {
                        stream.push(&text.as_bytes()[pair[0]..pair[1]], &mut out);
                        prop_assert!(stream.held.len() < 9);
                    }
                    stream.finish(&mut out);
                }
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), whole.clone());
            for value in &values {
                prop_assert!(!whole.contains(value.as_str()), "{} in {}", value, whole);
            }
            let hit = values.iter().any(|v| text.contains(v.as_str()));
            prop_assert_eq!(hit, whole != text);
        }
    }
}
