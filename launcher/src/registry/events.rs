//! A run's journal, read: line by line, also while its head writes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use a2arun_core::status::EventJson;

use crate::registry::journal::EVENTS_FILE;

/// Reads on in a journal.
#[derive(Debug)]
pub(crate) struct Events {
    file: Option<File>,
    path: std::path::PathBuf,
    offset: u64,
    rest: Vec<u8>,
}

impl Events {
    /// Of the run with this folder, from its first event on.
    pub(crate) fn of(folder: &Path) -> Self {
        Self { file: None, path: folder.join(EVENTS_FILE), offset: 0, rest: Vec::new() }
    }

    /// The events that were written since; a line that is not complete waits for its end, one that
    /// cannot be read is left out.
    pub(crate) fn next(&mut self) -> io::Result<Vec<EventJson>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(file),
                // A run of before there were journals, or one that has just begun.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            },
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        self.offset += bytes.len() as u64;
        self.rest.extend(bytes);
        let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') else { return Ok(Vec::new()) };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        let lines = lines.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_line_is_read_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = Events::of(dir.path());
        assert!(events.next().unwrap().is_empty());
        let mut file = File::create(dir.path().join(EVENTS_FILE)).unwrap();
        let line = |seq: u64| {
            format!(
                r#"{{"seq":{seq},"time":"1970-01-01T00:00:00Z","kind":"ready","agent":null,"rank":null,"host":null,"incarnation":null}}"#
            )
        };
        write!(file, "{}\nnonsense\n{}", line(1), &line(2)[..20]).unwrap();
        let seqs = |events: &mut Events| -> Vec<u64> {
            events.next().unwrap().iter().map(|e| e.seq).collect()
        };
        assert_eq!(seqs(&mut events), [1]);
        writeln!(file, "{}", &line(2)[20..]).unwrap();
        assert_eq!(seqs(&mut events), [2]);
        assert!(seqs(&mut events).is_empty());
    }
}
