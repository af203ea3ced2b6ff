//! `events.jsonl` in a run's folder: what happened, one line each, as the head saw it. It is
//! written on a thread of its own, so that a slow disk never keeps the head from its job.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use a2arun_core::ids::{HostName, Incarnation, Rank};
use a2arun_core::mask::Mask;
use a2arun_core::plan::Plan;
use a2arun_core::status::EventJson;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The file's name.
pub(crate) const EVENTS_FILE: &str = "events.jsonl";
/// Entries that wait for the disk; more are left out, and how many is written in their place.
const DEPTH: usize = 8192;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    time: Timestamp,
    kind: &'static str,
    agent: Option<String>,
    rank: Option<u32>,
    host: Option<String>,
    incarnation: Option<u32>,
    more: Map<String, Value>,
}

impl Entry {
    /// About the job.
    pub(crate) fn job(kind: &'static str) -> Self {
        Self {
            time: Timestamp::now(),
            kind,
            agent: None,
            rank: None,
            host: None,
            incarnation: None,
            more: Map::new(),
        }
    }

    /// About a host.
    pub(crate) fn host(kind: &'static str, host: &HostName) -> Self {
        Self { host: Some(host.to_string()), ..Self::job(kind) }
    }

    /// About an instance.
    pub(crate) fn instance(kind: &'static str, plan: &Plan, rank: Rank) -> Self {
        let Some(instance) = plan.get(rank) else { return Self::job(kind) };
        Self {
            agent: Some(plan.agent(instance.agent).id.to_string()),
            rank: Some(rank.0),
            ..Self::host(kind, plan.host(instance.host).name())
        }
    }

    pub(crate) fn incarnation(self, incarnation: Incarnation) -> Self {
        Self { incarnation: Some(incarnation.0), ..self }
    }

    /// When its host says it was; `None`: now.
    pub(crate) fn at(self, time: Option<Timestamp>) -> Self {
        Self { time: time.unwrap_or(self.time), ..self }
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// What a person should read.
    pub(crate) fn text(self, text: &str) -> Self {
        self.with("message", text)
    }
}

/// Where a head says what happened. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Option<Ends>);

#[derive(Debug, Clone)]
struct Ends {
    entries: SyncSender<Entry>,
    left_out: Arc<AtomicU64>,
}

impl Journal {
    /// Nobody reads it.
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    /// Writes into `folder`, what `mask` knows starred out: agents and hosts may say anything.
    ///
    /// # Errors
    /// When the file or the thread cannot be made.
    pub(crate) fn start(folder: &Path, mask: Mask) -> io::Result<(Self, JournalWriter)> {
        let path = folder.join(EVENTS_FILE);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let (entries, waiting) = sync_channel(DEPTH);
        let left_out = Arc::new(AtomicU64::new(0));
        let ends = Ends { entries, left_out: left_out.clone() };
        let writer = Writer { file: BufWriter::new(file), seq: 0, mask, left_out };
        let thread = std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || writer.write_all(&waiting))?;
        Ok((Self(Some(ends)), JournalWriter(thread)))
    }

    pub(crate) fn write(&self, entry: Entry) {
        if let Some(ends) = &self.0
            && ends.entries.try_send(entry).is_err()
        {
            ends.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct JournalWriter(JoinHandle<io::Result<()>>);

impl JournalWriter {
    /// Waits until everything is written; every [`Journal`] must be gone.
    pub(crate) fn drain(self) -> io::Result<()> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    }
}

struct Writer<W: Write> {
    file: BufWriter<W>,
    seq: u64,
    mask: Mask,
    left_out: Arc<AtomicU64>,
}

impl<W: Write> Writer<W> {
    fn write_all(mut self, entries: &Receiver<Entry>) -> io::Result<()> {
        loop {
            // Written together while they come faster than the disk takes them.
            let entry = match entries.try_recv() {
                Ok(entry) => entry,
                Err(TryRecvError::Empty) => {
                    self.gap()?;
                    self.file.flush()?;
                    match entries.recv() {
                        Ok(entry) => entry,
                        Err(_) => return Ok(()),
                    }
                }
                Err(TryRecvError::Disconnected) => {
                    self.gap()?;
                    return self.file.flush();
                }
            };
            self.entry(entry)?;
        }
    }

    /// Behind those that found room: how many did not.
    fn gap(&mut self) -> io::Result<()> {
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            count => self.entry(Entry::job("gap").with("left_out", count)),
        }
    }

    fn entry(&mut self, mut entry: Entry) -> io::Result<()> {
        self.seq += 1;
        if !self.mask.is_empty() {
            for value in entry.more.values_mut() {
                if let Value::String(text) = value {
                    *text = self.mask.text(text);
                }
            }
        }
        let event = EventJson {
            seq: self.seq,
            time: entry.time,
            kind: entry.kind.to_owned(),
            agent: entry.agent,
            rank: entry.rank,
            host: entry.host,
            incarnation: entry.incarnation,
            more: entry.more,
        };
        serde_json::to_writer(&mut self.file, &event)?;
        self.file.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_contracts() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, writer) = Journal::start(dir.path(), Mask::new(["s3cret-value"])).unwrap();
        let host = "n1".parse().unwrap();
        journal.write(Entry::host("host-lost", &host).at(Some(Timestamp::UNIX_EPOCH)).text("gone"));
        journal.write(Entry::job("state").at(Some(Timestamp::UNIX_EPOCH)).with("state", "running"));
        journal.write(
            Entry::job("answered").at(Some(Timestamp::UNIX_EPOCH)).text("it is s3cret-value!"),
        );
        drop(journal);
        writer.drain().unwrap();
        let text = std::fs::read_to_string(dir.path().join(EVENTS_FILE)).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"seq":1,"time":"1970-01-01T00:00:00Z","kind":"host-lost","agent":null,"rank":null,"host":"n1","incarnation":null,"message":"gone"}
        {"seq":2,"time":"1970-01-01T00:00:00Z","kind":"state","agent":null,"rank":null,"host":null,"incarnation":null,"state":"running"}
        {"seq":3,"time":"1970-01-01T00:00:00Z","kind":"answered","agent":null,"rank":null,"host":null,"incarnation":null,"message":"it is ******!"}
        "#);
    }

    #[test]
    fn what_found_no_room_is_counted() {
        let (entries, waiting) = sync_channel(1);
        let journal = Journal(Some(Ends { entries, left_out: Arc::default() }));
        let left_out = journal.0.as_ref().unwrap().left_out.clone();
        (0..3).for_each(|_| journal.write(Entry::job("job")));
        drop(journal);
        let mut bytes = Vec::new();
        let mask = Mask::default();
        let writer = Writer { file: BufWriter::new(&mut bytes), seq: 0, mask, left_out };
        writer.write_all(&waiting).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.lines().last().unwrap().contains(r#""kind":"gap""#), "{text}");
        assert!(text.contains(r#""left_out":2"#), "{text}");
    }
}
