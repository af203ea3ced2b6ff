//! Resource limits (getrlimit(2)).

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limits that a process was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Nofile {
    /// What is enforced.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
}

/// Raises the soft limit of descriptors to the hard one; returns what it was before and is now.
pub fn raise_nofile() -> io::Result<(Nofile, Nofile)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let before = Nofile { soft, hard };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        return Ok((before, before));
    }
    Ok((before, Nofile { soft: hard, hard }))
}
