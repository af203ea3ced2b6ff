//! `events.jsonl` in a run's folder: what happened, one line each, as the head saw it. It is
//! written on a thread of its own, so that a slow disk never keeps the head from its job.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use a2arun_core::ids::{HostName, Incarnation, Rank};
use a2arun_core::plan::Plan;
use a2arun_core::status::EventJson;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The file's name.
pub(crate) const EVENTS_FILE: &str = "events.jsonl";
/// Entries that wait for the disk; more are counted and left out.
const DEPTH: usize = 8192;
/// Lines are on disk after this at the latest.
const FLUSH_AFTER: Duration = Duration::from_millis(20);

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
pub(crate) struct Journal(Option<SyncSender<Entry>>);

impl Journal {
    /// Nobody reads it.
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    /// Writes into `folder`.
    ///
    /// # Errors
    /// When the file or the thread cannot be made.
    pub(crate) fn start(folder: &Path) -> io::Result<(Self, JournalWriter)> {
        let path = folder.join(EVENTS_FILE);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let (sender, entries) = sync_channel(DEPTH);
        let thread = std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || write_all(file, &entries))?;
        Ok((Self(Some(sender)), JournalWriter(thread)))
    }

    pub(crate) fn write(&self, entry: Entry) {
        if let Some(sender) = &self.0
            && sender.try_send(entry).is_err()
        {
            tracing::debug!("an event was left out");
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

fn write_all(file: File, entries: &Receiver<Entry>) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let mut seq = 0;
    loop {
        let entry = match entries.recv_timeout(FLUSH_AFTER) {
            Ok(entry) => entry,
            Err(RecvTimeoutError::Timeout) => {
                file.flush()?;
                match entries.recv() {
                    Ok(entry) => entry,
                    Err(_) => return Ok(()),
                }
            }
            Err(RecvTimeoutError::Disconnected) => return file.flush(),
        };
        seq += 1;
        let event = EventJson {
            seq,
            time: entry.time,
            kind: entry.kind.to_owned(),
            agent: entry.agent,
            rank: entry.rank,
            host: entry.host,
            incarnation: entry.incarnation,
            more: entry.more,
        };
        serde_json::to_writer(&mut file, &event)?;
        file.write_all(b"\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_contracts() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, writer) = Journal::start(dir.path()).unwrap();
        let host = "n1".parse().unwrap();
        journal.write(Entry::host("host-lost", &host).at(Some(Timestamp::UNIX_EPOCH)).text("gone"));
        journal.write(Entry::job("state").at(Some(Timestamp::UNIX_EPOCH)).with("state", "running"));
        drop(journal);
        writer.drain().unwrap();
        let text = std::fs::read_to_string(dir.path().join(EVENTS_FILE)).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"seq":1,"time":"1970-01-01T00:00:00Z","kind":"host-lost","agent":null,"rank":null,"host":"n1","incarnation":null,"message":"gone"}
        {"seq":2,"time":"1970-01-01T00:00:00Z","kind":"state","agent":null,"rank":null,"host":null,"incarnation":null,"state":"running"}
        "#);
    }
}
