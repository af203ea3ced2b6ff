//! Readiness by a line of output: reads on in the instance's segments, from the first byte.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use a2arun_core::ids::Incarnation;
use regex_lite::Regex;
use tokio::task::yield_now;

use crate::ledger::LogFile;

/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// What is read of a stream in one look: an agent that writes fast must not keep us here.
const LOOK_BYTES_MAX: u64 = 8 << 20;
/// A longer line is looked at in pieces.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Both streams of one incarnation, and how far they were read.
pub(super) struct Scanner {
    pattern: Result<Regex, String>,
    streams: [Stream; 2],
}

struct Stream {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
    /// The beginning of a line that is not complete.
    rest: Vec<u8>,
}

impl Scanner {
    pub(super) fn new(dir: &Path, incarnation: Incarnation, pattern: &str) -> Self {
        let stream = |log: LogFile| Stream {
            path: dir.join(log.name(incarnation.0)),
            file: None,
            offset: 0,
            rest: Vec::new(),
        };
        let pattern =
            Regex::new(pattern).map_err(|e| format!("`readiness.pattern` is not valid: {e}"));
        Self { pattern, streams: [stream(LogFile::Out), stream(LogFile::Err)] }
    }

    /// Whether a line matches that was not read before. A line without its end counts as well: a
    /// prompt has none.
    ///
    /// Files of this machine's own disk are read here, as everything noded reads of them, and a
    /// piece at a time: others have their turn between two.
    pub(super) async fn scan(&mut self) -> Result<bool, String> {
        let pattern = self.pattern.as_ref().map_err(Clone::clone)?;
        for stream in &mut self.streams {
            let end = stream.offset + LOOK_BYTES_MAX;
            while stream.offset < end {
                match stream.scan(pattern) {
                    Ok(Scanned::Match) => return Ok(true),
                    Ok(Scanned::End) => break,
                    Ok(Scanned::More) => yield_now().await,
                    Err(error) => return Err(format!("cannot read its output: {error}")),
                }
            }
        }
        Ok(false)
    }
}

/// What came of one piece.
enum Scanned {
    Match,
    More,
    /// There is no more now, and the beginning of a line does not match.
    End,
}

impl Stream {
    fn scan(&mut self, pattern: &Regex) -> io::Result<Scanned> {
        let file = match &self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(file),
                // It has written nothing yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Scanned::End),
                Err(error) => return Err(error),
            },
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = file.read_at(&mut chunk, self.offset)?;
        if read == 0 {
            let found = !self.rest.is_empty() && matches(pattern, &self.rest);
            return Ok(if found { Scanned::Match } else { Scanned::End });
        }
        self.offset += read as u64;
        self.rest.extend_from_slice(&chunk[..read]);
        let mut from = 0;
        while let Some(at) = memchr::memchr(b'\n', &self.rest[from..]) {
            if matches(pattern, &self.rest[from..from + at]) {
                return Ok(Scanned::Match);
            }
            from += at + 1;
        }
        self.rest.drain(..from);
        if self.rest.len() > LINE_BYTES_MAX {
            if matches(pattern, &self.rest) {
                return Ok(Scanned::Match);
            }
            self.rest.clear();
        }
        Ok(Scanned::More)
    }
}

fn matches(pattern: &Regex, line: &[u8]) -> bool {
    pattern.is_match(&String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn lines_are_found_across_reads_and_in_either_stream() {
        let dir = tempfile::tempdir().unwrap();
        let mut scanner = Scanner::new(dir.path(), Incarnation(1), r"^listening on \d+$");
        assert_eq!(scanner.scan().await, Ok(false));
        let mut out = File::create(dir.path().join("out.1")).unwrap();
        out.write_all(b"not listening on 1\nlisten").unwrap();
        assert_eq!(scanner.scan().await, Ok(false));
        out.write_all(b"ing on 8").unwrap();
        assert_eq!(scanner.scan().await, Ok(true));
        let mut scanner = Scanner::new(dir.path(), Incarnation(1), "ready");
        assert_eq!(scanner.scan().await, Ok(false));
        std::fs::write(dir.path().join("err.1"), b"INFO ready\r\n").unwrap();
        assert_eq!(scanner.scan().await, Ok(true));
    }

    #[tokio::test]
    async fn a_line_without_end_stays_small_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("out.1"), vec![b'x'; 3 << 20]).unwrap();
        let mut scanner = Scanner::new(dir.path(), Incarnation(1), "y");
        assert_eq!(scanner.scan().await, Ok(false));
        assert!(scanner.streams[0].rest.len() <= LINE_BYTES_MAX + CHUNK_BYTES);
    }

    #[tokio::test]
    async fn others_have_their_turn_while_much_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("out.1"), b"some words\n".repeat(100_000)).unwrap();
        let mut scanner = Scanner::new(dir.path(), Incarnation(1), "y");
        let mut turns = 0;
        let others = async {
            loop {
                turns += 1;
                yield_now().await;
            }
        };
        // No loop: the first to end is the scan. Both keep what they did.
        tokio::select! {
            biased;
            found = scanner.scan() => assert_eq!(found, Ok(false)),
            () = others => {}
        }
        assert!(turns >= 1_100_000 / CHUNK_BYTES, "{turns}");
    }
}
