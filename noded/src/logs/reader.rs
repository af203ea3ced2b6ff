//! One reader: cursors over a run's output, in turn, a block each. It lags where its receiver is
//! slow; it never drops, and nobody waits for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use a2arun_core::ids::{Incarnation, Rank, RunId};
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::tail::start_of_last_lines;
use crate::ledger::{InstanceDir, Ledger, LogFile};
use crate::supervisor::{InstanceView, RunView, Views};

/// A block of output, at most.
const BLOCK_BYTES: usize = 128 * 1024;
/// Looks at the files are at least this far apart, so that many small writes are one look.
const LOOK_APART: Duration = Duration::from_millis(2);

/// One of an instance's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The rank.
    pub rank: Rank,
    /// Which spawn.
    pub incarnation: Incarnation,
    /// Which stream.
    pub log: LogFile,
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At given offsets; streams that are not named, at their beginning.
    Offsets(Vec<(Stream, u64)>),
    /// At the last so many lines of each stream.
    LastLines(u64),
}

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The run.
    pub run: RunId,
    /// From where.
    pub start: Start,
    /// Go on until the run is over.
    pub follow: bool,
    /// Only the streams for which there is an offset.
    pub only: bool,
}

/// A block of output.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Of which stream.
    pub stream: Stream,
    /// Of the first byte.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
    /// Nothing follows in this stream.
    pub end: bool,
}

struct Cursor {
    stream: Stream,
    offset: u64,
    file: Option<File>,
    size_at_end: Option<u64>,
    has_file: bool,
    /// Lines from the end that the offset still has to be set to.
    last_lines: Option<u64>,
    done: bool,
}

/// Reads until there is nothing left, or the receiver is gone. `output` changes when a step says
/// that there is new output.
///
/// # Errors
/// When a file cannot be read.
pub async fn read(
    ledger: Ledger,
    views: Views,
    mut output: watch::Receiver<()>,
    request: Request,
    blocks: mpsc::Sender<Chunk>,
) -> io::Result<()> {
    // A run that is not in memory is over: what is on disk is all there is.
    let mut view = match views.get(&request.run) {
        Some(view) => view,
        None => watch::channel(view_of_ended(&ledger, &request.run)).1,
    };
    let mut cursors: Vec<Cursor> = Vec::new();
    let mut looked;
    loop {
        output.borrow_and_update();
        let now = view.borrow_and_update().clone();
        update(&mut cursors, &now.instances, &request);
        looked = Instant::now();
        let mut progress = false;
        for cursor in cursors.iter_mut().filter(|c| !c.done) {
            let Some(block) = cursor.next(&ledger, &request.run)? else { continue };
            progress = true;
            if blocks.send(block).await.is_err() {
                return Ok(());
            }
        }
        if progress {
            // Nothing else may starve while one reader has much to read.
            tokio::task::yield_now().await;
            continue;
        }
        let complete = now.ended && cursors.iter().all(|c| c.done);
        if !request.follow || complete {
            return Ok(());
        }
        // Cancel safe: all three only watch.
        tokio::select! {
            changed = view.changed() => if changed.is_err() && !now.ended {
                // Forgotten between two looks: the last state is on disk.
                view = watch::channel(view_of_ended(&ledger, &request.run)).1;
            },
            changed = output.changed() => if changed.is_err() {
                return Ok(());
            },
            () = blocks.closed() => return Ok(()),
        }
        sleep_until(looked + LOOK_APART).await;
    }
}

fn update(cursors: &mut Vec<Cursor>, instances: &Arc<Vec<InstanceView>>, request: &Request) {
    for (index, instance) in instances.iter().enumerate() {
        for (place, log) in [(0, LogFile::Out), (1, LogFile::Err)] {
            let stream = Stream { rank: instance.rank, incarnation: instance.incarnation, log };
            // Instances are only ever added, so a cursor has its instance's place, but for a run
            // that left memory: what is on disk is in order of rank.
            let position = index * 2 + place;
            if cursors.get(position).is_none_or(|cursor| cursor.stream != stream) {
                match cursors.iter().position(|cursor| cursor.stream == stream) {
                    Some(at) => cursors.swap(position, at),
                    None => cursors.insert(position, Cursor::new(stream, request)),
                }
            }
            let cursor = &mut cursors[position];
            cursor.has_file = instance.has_output[place];
            cursor.size_at_end = instance.ended.map(|(out, err)| match log {
                LogFile::Out => out,
                LogFile::Err => err,
            });
        }
    }
}

/// What the ledger says of a run that is not in memory.
fn view_of_ended(ledger: &Ledger, run: &RunId) -> RunView {
    let mut instances = Vec::new();
    for rank in ledger.ranks(run) {
        let Ok(dir) = InstanceDir::open(&ledger.instance_dir(run, rank)) else { continue };
        let Some(spawned) = dir.spawn().ok().flatten().map(|record| record.spawned) else {
            continue;
        };
        // With those that were tried again.
        for incarnation in 1..=spawned.incarnation.0 {
            let size = |log| dir.log_size(log, incarnation);
            let (out, err) = (size(LogFile::Out), size(LogFile::Err));
            instances.push(InstanceView {
                rank,
                incarnation: Incarnation(incarnation),
                has_output: [out > 0, err > 0],
                ended: Some((out, err)),
            });
        }
    }
    RunView { instances: Arc::new(instances), ended: true }
}

impl Cursor {
    fn new(stream: Stream, request: &Request) -> Self {
        let (offset, last_lines, done) = match &request.start {
            Start::Offsets(offsets) => {
                let known = offsets.iter().find(|(s, _)| *s == stream);
                (known.map_or(0, |(_, offset)| *offset), None, request.only && known.is_none())
            }
            Start::LastLines(lines) => (0, Some(*lines), false),
        };
        Self { stream, offset, file: None, size_at_end: None, has_file: false, last_lines, done }
    }

    /// The next block; `None` where there is nothing now.
    fn next(&mut self, ledger: &Ledger, run: &RunId) -> io::Result<Option<Chunk>> {
        if self.size_at_end.is_some_and(|size| self.offset >= size) {
            self.done = true;
            return Ok(None);
        }
        if self.file.is_none() {
            if !self.has_file {
                return Ok(None);
            }
            let path = ledger.instance_dir(run, self.stream.rank);
            let Ok(dir) = InstanceDir::open(&path) else { return Ok(None) };
            self.file = dir.log_reader(self.stream.log, self.stream.incarnation.0)?;
        }
        let Some(file) = &self.file else { return Ok(None) };
        if let Some(lines) = self.last_lines.take() {
            let size = file.metadata()?.len();
            self.offset = start_of_last_lines(file, size, lines)?;
        }
        let mut block = BytesMut::zeroed(BLOCK_BYTES);
        let read = file.read_at(&mut block, self.offset)?;
        if read == 0 {
            // Shorter than its record says: somebody has cut it. There is nothing to wait for.
            self.done = self.size_at_end.is_some();
            return Ok(None);
        }
        block.truncate(read);
        let offset = self.offset;
        self.offset += read as u64;
        let end = self.size_at_end.is_some_and(|size| self.offset >= size);
        self.done = end;
        Ok(Some(Chunk { stream: self.stream, offset, data: block.freeze(), end }))
    }
}
