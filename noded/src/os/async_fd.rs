//! Descriptors in tokio's reactor; for noded's own runtime, never for spawner or step.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor that does not block.
///
/// # Errors
/// When the reactor refuses it.
pub fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd keeps its descriptor open, and its number unchanged, until it is dropped,
    // which AsyncFd does only after it has deregistered.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}
