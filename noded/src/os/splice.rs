//! Pipe to file without a copy in user space (splice(2)). Bytes leave the pipe only once they
//! are in the file, so a process that is killed in between loses none.

use std::io;
use std::os::fd::AsFd;

use rustix::pipe::SpliceFlags;

/// At most this much a turn: the capacity of a pipe.
pub const TURN_BYTES: usize = 64 * 1024;

/// What one turn moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// So many bytes; there may be more.
    Moved(usize),
    /// The pipe is empty for now.
    Empty,
    /// Every writer is gone and everything was moved.
    End,
}

/// Moves what is in the pipe to `offset` of `file` and advances `offset`.
///
/// # Errors
/// `StorageFull` and the like from the filesystem; the bytes are still in the pipe then.
/// `InvalidInput` where the filesystem cannot splice.
pub fn pipe_to_file(pipe: impl AsFd, file: impl AsFd, offset: &mut u64) -> io::Result<Turn> {
    match rustix::pipe::splice(pipe, None, file, Some(offset), TURN_BYTES, SpliceFlags::NONBLOCK) {
        Ok(0) => Ok(Turn::End),
        Ok(moved) => Ok(Turn::Moved(moved)),
        Err(rustix::io::Errno::AGAIN) => Ok(Turn::Empty),
        Err(rustix::io::Errno::INTR) => Ok(Turn::Moved(0)),
        Err(e) => Err(e.into()),
    }
}

/// Throws away what is in the pipe (into `/dev/null`).
pub fn discard(pipe: impl AsFd, null: impl AsFd) -> io::Result<Turn> {
    match rustix::pipe::splice(pipe, None, null, None, TURN_BYTES, SpliceFlags::NONBLOCK) {
        Ok(0) => Ok(Turn::End),
        Ok(moved) => Ok(Turn::Moved(moved)),
        Err(rustix::io::Errno::AGAIN) => Ok(Turn::Empty),
        Err(rustix::io::Errno::INTR) => Ok(Turn::Moved(0)),
        Err(e) => Err(e.into()),
    }
}

/// A turn that could not be written whole.
#[derive(Debug)]
pub struct CopyError {
    /// Bytes that have left the pipe and reached no file.
    pub lost: usize,
    /// Why.
    pub error: io::Error,
}

/// For filesystems that cannot splice: read, then write all. A kill in between can lose a turn.
///
/// # Errors
/// With how many bytes were read and could not be written.
pub fn copy_to_file(pipe: impl AsFd, file: impl AsFd, offset: &mut u64) -> Result<Turn, CopyError> {
    let mut buffer = [0u8; TURN_BYTES];
    let read = match rustix::io::read(&pipe, &mut buffer) {
        Ok(0) => return Ok(Turn::End),
        Ok(read) => read,
        Err(rustix::io::Errno::AGAIN) => return Ok(Turn::Empty),
        Err(rustix::io::Errno::INTR) => return Ok(Turn::Moved(0)),
        Err(e) => return Err(CopyError { lost: 0, error: e.into() }),
    };
    let mut written = 0;
    while written < read {
        match rustix::io::pwrite(&file, &buffer[written..read], *offset) {
            Ok(n) => {
                written += n;
                *offset += n as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                let error = io::Error::from(error);
                return Err(CopyError { lost: read - written, error });
            }
        }
    }
    Ok(Turn::Moved(read))
}
