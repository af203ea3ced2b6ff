//! One stream of the agent: from its pipe to its file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::ledger::{InstanceDir, LogFile};
use crate::os::splice::{self, Turn};

/// So many turns at once before the other descriptors get theirs.
const TURNS_MAX: usize = 16;

/// Moves a pipe to a file that is made with the first byte.
#[derive(Debug)]
pub(super) struct Pump {
    log: LogFile,
    incarnation: u32,
    pipe: Option<OwnedFd>,
    file: Option<OwnedFd>,
    offset: u64,
    mode: Mode,
    dropped: u64,
    announced: bool,
    /// The disk was full when it was tried last.
    full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Splice,
    /// The filesystem refuses splice(2).
    Copy,
    /// The disk is full: output is dropped and counted until it has room again.
    Drop,
}

/// What pumping came to.
#[derive(Debug)]
pub(super) enum Pumped {
    /// So many bytes reached the disk; the pipe is empty or others are due.
    Some(u64),
    /// The disk does not take it; said once per spell.
    DiskFull(io::Error),
}

impl Pump {
    /// For a stream whose file may already have something, from a step before.
    pub(super) fn new(
        dir: &InstanceDir,
        log: LogFile,
        incarnation: u32,
        pipe: Option<OwnedFd>,
    ) -> Self {
        let offset = dir.log_size(log, incarnation);
        Self {
            log,
            incarnation,
            pipe,
            file: None,
            offset,
            mode: Mode::Splice,
            dropped: 0,
            announced: false,
            full: false,
        }
    }

    /// The pipe to poll, until it is at its end.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Bytes on disk.
    pub(super) fn written(&self) -> u64 {
        self.offset
    }

    /// Bytes that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// No more is read: somebody outside the tree keeps the pipe open.
    pub(super) fn give_up(&mut self) {
        self.pipe = None;
    }

    /// Moves what is there.
    pub(super) fn pump(&mut self, dir: &InstanceDir, null: BorrowedFd<'_>) -> Pumped {
        let before = self.offset;
        for _ in 0..TURNS_MAX {
            let Some(pipe) = &self.pipe else { break };
            if self.file.is_none() && self.mode != Mode::Drop {
                // Nothing is made for a stream that says nothing.
                match nothing_yet(pipe) {
                    Some(true) => {
                        self.pipe = None;
                        break;
                    }
                    Some(false) => break,
                    None => {}
                }
                match dir.log_writer(self.log, self.incarnation) {
                    Ok((file, size)) => (self.file, self.offset) = (Some(file), size),
                    Err(e) => return self.full(e),
                }
            }
            let turn = match (&self.file, self.mode) {
                (Some(file), Mode::Splice) => splice::pipe_to_file(pipe, file, &mut self.offset),
                (Some(file), Mode::Copy) => match nothing_yet(pipe) {
                    // The pipe blocks a reader; splice(2) is told not to.
                    Some(true) => Ok(Turn::End),
                    Some(false) => Ok(Turn::Empty),
                    None => splice::copy_to_file(pipe, file, &mut self.offset).map_err(|e| {
                        self.dropped += e.lost as u64;
                        e.error
                    }),
                },
                (_, Mode::Drop) | (None, _) => splice::discard(pipe, null),
            };
            match turn {
                Ok(Turn::Moved(bytes)) if self.mode == Mode::Drop => self.dropped += bytes as u64,
                Ok(Turn::Moved(_)) => self.full = false,
                Ok(Turn::Empty) => break,
                Ok(Turn::End) => {
                    self.pipe = None;
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::InvalidInput && self.mode == Mode::Splice => {
                    self.mode = Mode::Copy;
                }
                Err(e) => return self.full(e),
            }
        }
        Pumped::Some(self.offset - before.min(self.offset))
    }

    fn full(&mut self, error: io::Error) -> Pumped {
        self.mode = Mode::Drop;
        if std::mem::replace(&mut self.full, true) {
            // Tried again in vain: that was said already.
            return Pumped::Some(0);
        }
        Pumped::DiskFull(error)
    }

    /// Whether there is a first byte that noded was not told of yet.
    pub(super) fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, self.offset > 0) && self.announced
    }

    /// Tries the disk again.
    pub(super) fn retry_disk(&mut self) {
        if self.mode == Mode::Drop {
            self.mode = Mode::Splice;
        }
    }

    /// Whether output is being dropped.
    pub(super) fn is_dropping(&self) -> bool {
        self.mode == Mode::Drop
    }
}

/// For an empty pipe: whether its end was reached. `None`: there is something to read.
fn nothing_yet(pipe: &OwnedFd) -> Option<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let flags = fds[0].revents();
    if flags.contains(PollFlags::IN) {
        None
    } else {
        Some(flags.intersects(PollFlags::HUP | PollFlags::ERR))
    }
}
