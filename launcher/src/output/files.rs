//! `--output-dir`: one thread writes every instance's streams to their files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use a2arun_core::ids::Rank;
use a2arun_core::plan::Plan;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::output::data::say;
use crate::output::printer::Written;
use crate::session::StreamKind;

/// Chunks that wait for the thread.
const CHUNKS_DEPTH: usize = 64;
/// Files kept open; a job may have more streams than we may have descriptors.
const OPEN_MAX: usize = 256;

/// One piece of a stream.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) rank: Rank,
    pub(crate) stream: StreamKind,
    pub(crate) data: Bytes,
}

/// The way in; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Files(mpsc::Sender<Piece>);

impl Files {
    /// # Cancel safety
    /// A piece that is waited with is lost when this is dropped.
    pub(crate) async fn write(&self, piece: Piece) {
        // The thread has said why it ended.
        let _ = self.0.send(piece).await;
    }
}

/// The thread.
#[derive(Debug)]
pub(crate) struct FileWriter {
    ended: oneshot::Receiver<Written>,
}

impl FileWriter {
    /// Makes the folder and an empty file for every stream, so that what is there is complete.
    ///
    /// # Errors
    /// When a file cannot be made; nothing was launched yet.
    pub(crate) fn start(dir: &Path, plan: &Plan) -> io::Result<(Self, Files)> {
        fs::create_dir_all(dir)?;
        let mut stems = Vec::with_capacity(plan.instances.len());
        for instance in &plan.instances {
            let stem = format!("{}.{}", plan.agent(instance.agent).id, instance.index);
            File::create(dir.join(format!("{stem}.out")))?;
            File::create(dir.join(format!("{stem}.err")))?;
            stems.push(stem);
        }
        let (sender, pieces) = mpsc::channel(CHUNKS_DEPTH);
        let dir = dir.to_owned();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("output-dir".into()).spawn(move || {
            let written = match write_all(&dir, &stems, pieces) {
                Ok(()) => Written::All,
                Err(error) => {
                    say(&format!(
                        "error: cannot write the output to {}: {error}; the job goes on without it",
                        dir.display()
                    ));
                    Written::Partly
                }
            };
            // Nobody may be waiting any more.
            let _ = end.send(written);
        })?;
        Ok((Self { ended }, Files(sender)))
    }

    /// Waits until everything is written, or was not, which has been said. Every [`Files`] must
    /// be dropped before.
    ///
    /// # Cancel safety
    /// Safe to drop: the thread goes on.
    pub(crate) async fn drain(self) -> Written {
        self.ended.await.unwrap_or(Written::Partly)
    }
}

fn write_all(dir: &Path, stems: &[String], mut pieces: mpsc::Receiver<Piece>) -> io::Result<()> {
    let mut open: HashMap<(Rank, StreamKind), File> = HashMap::new();
    while let Some(piece) = pieces.blocking_recv() {
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        let Some(stem) = stems.get(piece.rank.0 as usize) else { continue };
        let key = (piece.rank, piece.stream);
        let file = match open.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let path = path_of(dir, stem, piece.stream);
                entry.insert(fs::OpenOptions::new().append(true).create(true).open(path)?)
            }
        };
        file.write_all(&piece.data)?;
    }
    Ok(())
}

fn path_of(dir: &Path, stem: &str, stream: StreamKind) -> PathBuf {
    let suffix = match stream {
        StreamKind::Stdout => "out",
        StreamKind::Stderr => "err",
    };
    dir.join(format!("{stem}.{suffix}"))
}
