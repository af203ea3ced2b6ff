//! Server-sent events from chunks of bytes (WHATWG HTML §9.2): only `data`, which is all that A2A
//! uses (1.0 §9.4.2, §11.7).

/// A longer event is refused: it would fill memory.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An event that does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream has more than {EVENT_BYTES_MAX} bytes")]
pub struct TooLarge;

/// Takes a stream's bytes in chunks of any size and gives the data of each event.
#[derive(Debug, Clone, Default)]
pub struct SseReader {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was `\r`: a `\n` right behind it belongs to it.
    after_cr: bool,
    begun: bool,
}

impl SseReader {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a chunk; the data of every event that it completes is put behind `events`.
    ///
    /// # Errors
    /// When an event is too long; the stream cannot be read on.
    pub fn push(&mut self, chunk: &[u8], events: &mut Vec<String>) -> Result<(), TooLarge> {
        for byte in chunk {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    self.end_line(events);
                }
                byte => {
                    self.after_cr = false;
                    self.line.push(*byte);
                }
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLarge);
            }
        }
        Ok(())
    }

    /// The stream is over. The standard drops an event without its blank line; agents leave that
    /// line out, so what is there is given.
    pub fn finish(mut self) -> Option<String> {
        let mut events = Vec::new();
        if !self.line.is_empty() {
            self.end_line(&mut events);
        }
        self.end_event(&mut events);
        events.pop()
    }

    fn end_line(&mut self, events: &mut Vec<String>) {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            self.end_event(events);
            return;
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            // A comment.
            Some(0) => return,
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line.as_slice(), &[][..]),
        };
        if field == b"data" {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
    }

    fn end_event(&mut self, events: &mut Vec<String>) {
        let data = std::mem::take(&mut self.data);
        self.has_data = false;
        if !data.is_empty() {
            events.push(String::from_utf8_lossy(&data).into_owned());
        }
    }
}
