//! The two threads that write to stdout and stderr. Writing blocks when the reader is slow, so
//! nothing else is done there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

/// Buffers that wait for a thread: some 64 KiB each where there is much to write.
const BUFFERS_DEPTH: usize = 32;
/// Small buffers are written together up to about this size.
const GATHER_BYTES: usize = 256 * 1024;

/// Ways in; cheap to clone. The threads end when all are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Sinks {
    pub(crate) stdout: mpsc::Sender<Vec<u8>>,
    pub(crate) stderr: mpsc::Sender<Vec<u8>>,
    gone: Arc<AtomicBool>,
}

impl Sinks {
    /// Whether stdout has no reader any more: what is written there is dropped.
    pub(crate) fn stdout_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Printer {
    ended: [oneshot::Receiver<()>; 2],
}

impl Printer {
    /// Starts both.
    ///
    /// # Errors
    /// When a descriptor cannot be duplicated or a thread cannot be started.
    pub(crate) fn start() -> io::Result<(Self, Sinks)> {
        let gone = Arc::new(AtomicBool::new(false));
        // Not `io::stdout()`: its buffer looks for line ends in what is whole lines already.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let err = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (stdout, out_ended) = start("stdout", out, gone.clone())?;
        let (stderr, err_ended) = start("stderr", err, Arc::default())?;
        let printer = Self { ended: [out_ended, err_ended] };
        Ok((printer, Sinks { stdout, stderr, gone }))
    }

    /// Waits until everything is written. Every [`Sinks`] must be dropped before.
    ///
    /// # Cancel safety
    /// Safe to drop: the threads go on writing until the process ends.
    pub(crate) async fn drain(self) {
        for ended in self.ended {
            // A thread that panicked has nothing more to write.
            let _ = ended.await;
        }
    }
}

fn start(
    name: &str,
    file: File,
    gone: Arc<AtomicBool>,
) -> io::Result<(mpsc::Sender<Vec<u8>>, oneshot::Receiver<()>)> {
    let (sender, receiver) = mpsc::channel(BUFFERS_DEPTH);
    let (end, ended) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        write_all(receiver, file, &gone);
        // Nobody may be waiting any more.
        let _ = end.send(());
    })?;
    Ok((sender, ended))
}

fn write_all(mut buffers: mpsc::Receiver<Vec<u8>>, mut file: File, gone: &AtomicBool) {
    while let Some(mut buffer) = buffers.blocking_recv() {
        while buffer.len() < GATHER_BYTES {
            match buffers.try_recv() {
                Ok(more) => buffer.extend_from_slice(&more),
                Err(_) => break,
            }
        }
        // A reader that went away must not stop the job; the rest is dropped.
        if !gone.load(Ordering::Relaxed) && file.write_all(&buffer).is_err() {
            gone.store(true, Ordering::Relaxed);
        }
    }
}
