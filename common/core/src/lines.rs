//! Chunks of raw output to whole tagged lines, for a terminal, a file or a pipe.
//!
//! One assembler per rank and stream. A chunk's whole lines are written at once, each behind its
//! tag; the unfinished tail is kept until it ends, or is flushed and marked. What a file or pipe
//! gets is byte for byte what the agent wrote; a terminal gets control characters made visible.

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// A file or a pipe: bytes pass as they are.
    Raw,
    /// A terminal: escape sequences and other control characters are shown, not obeyed, and what
    /// is no UTF-8 becomes U+FFFD.
    Terminal,
}

/// A longer line is passed on in pieces of this size, each marked as partial, so that an agent
/// that never writes a newline costs bounded memory.
pub const TAIL_BYTES_MAX: usize = 64 * 1024;

/// Stands at the end of a line that was not finished when it was shown.
pub const PARTIAL_MARK: &str = " …";

/// One stream of one instance.
#[derive(Debug, Clone)]
pub struct LineAssembler {
    sink: Sink,
    tail: Vec<u8>,
}

impl LineAssembler {
    /// Nothing read yet.
    pub fn new(sink: Sink) -> Self {
        Self { sink, tail: Vec::new() }
    }

    /// Appends every line that `chunk` completes to `out`, each behind `prefix`, and keeps the
    /// rest. `prefix` is written as it is; the tag's brackets and colour are the caller's.
    pub fn tag_into(&mut self, chunk: &[u8], prefix: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        if !self.tail.is_empty() {
            let Some(end) = find_newline(rest) else {
                self.keep(rest, prefix, out);
                return;
            };
            out.extend_from_slice(prefix);
            let tail = std::mem::take(&mut self.tail);
            if self.sink == Sink::Raw {
                out.extend_from_slice(&tail);
                out.extend_from_slice(&rest[..=end]);
            } else {
                let mut line = tail;
                line.extend_from_slice(&rest[..end]);
                neutralise(&line, out);
                out.push(b'\n');
            }
            rest = &rest[end + 1..];
        }
        while let Some(end) = find_newline(rest) {
            out.extend_from_slice(prefix);
            match self.sink {
                Sink::Raw => out.extend_from_slice(&rest[..=end]),
                Sink::Terminal => {
                    neutralise(&rest[..end], out);
                    out.push(b'\n');
                }
            }
            rest = &rest[end + 1..];
        }
        self.keep(rest, prefix, out);
    }

    /// Whether an unfinished line is waiting.
    pub fn has_partial(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Writes the unfinished line, marked, with a newline behind it, when the stream has been
    /// idle. Says whether there was one.
    pub fn flush_partial(&mut self, prefix: &[u8], out: &mut Vec<u8>) -> bool {
        if self.tail.is_empty() {
            return false;
        }
        let tail = std::mem::take(&mut self.tail);
        self.write_partial(&tail, prefix, out);
        true
    }

    /// Writes what is left at the end of the stream, with a newline behind it; a terminal's reader
    /// sees by a mark that it had none. Says whether there was anything.
    pub fn finish(&mut self, prefix: &[u8], out: &mut Vec<u8>) -> bool {
        match self.sink {
            Sink::Terminal => self.flush_partial(prefix, out),
            Sink::Raw if self.tail.is_empty() => false,
            Sink::Raw => {
                out.extend_from_slice(prefix);
                out.append(&mut self.tail);
                out.push(b'\n');
                true
            }
        }
    }

    fn keep(&mut self, rest: &[u8], prefix: &[u8], out: &mut Vec<u8>) {
        self.tail.extend_from_slice(rest);
        while self.tail.len() >= TAIL_BYTES_MAX {
            let keep = self.tail.split_off(TAIL_BYTES_MAX);
            let piece = std::mem::replace(&mut self.tail, keep);
            self.write_partial(&piece, prefix, out);
        }
    }

    fn write_partial(&self, piece: &[u8], prefix: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(prefix);
        match self.sink {
            Sink::Raw => out.extend_from_slice(piece),
            Sink::Terminal => neutralise(piece, out),
        }
        out.extend_from_slice(PARTIAL_MARK.as_bytes());
        out.push(b'\n');
    }
}

/// The first newline, eight bytes at a time.
fn find_newline(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    const NEWLINES: u64 = ONES * b'\n' as u64;
    let (words, _) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let zero_where_newline = u64::from_le_bytes(*word) ^ NEWLINES;
        // "Determine if a word has a zero byte", Bit Twiddling Hacks; exact for the lowest one.
        let found = zero_where_newline.wrapping_sub(ONES) & !zero_where_newline & HIGHS;
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let done = words.len() * 8;
    bytes[done..].iter().position(|b| *b == b'\n').map(|at| done + at)
}

/// A text of several lines for a terminal: what a [`Sink::Terminal`] makes of it.
pub fn visible(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        neutralise(line.as_bytes(), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Control characters as Unicode's control pictures, so that an agent cannot move the cursor,
/// set the title or recolour other lines. Tabs stay; a carriage return at the end goes.
fn neutralise(line: &[u8], out: &mut Vec<u8>) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().all(|b| (0x20..0x7f).contains(b) || *b == b'\t') {
        out.extend_from_slice(line);
        return;
    }
    let mut encoded = [0; 4];
    for c in String::from_utf8_lossy(line).chars() {
        let shown = match c {
            '\t' => '\t',
            '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            '\x7f' => '\u{2421}',
            // C1 controls: some terminals obey them as escape sequences.
            '\u{80}'..='\u{9f}' => '\u{fffd}',
            // Bidirectional overrides can show a text as another one.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            _ => c,
        };
        out.extend_from_slice(shown.encode_utf8(&mut encoded).as_bytes());
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
