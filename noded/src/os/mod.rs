//! The operating system, as noded, spawner and step use it: the only place with `unsafe`.
//!
//! Each function is thin and total: it says which man page it stands on and turns the error into
//! `io::Error`. Nothing here knows about runs or agents.

#![expect(
    unsafe_code,
    reason = "system calls that no crate wraps safely; each block says why it holds"
)]

pub mod async_fd;
pub mod clone;
pub mod fork;
pub mod heap;
pub mod limits;
pub mod pidfd;
pub mod proc;
pub mod seqpacket;
pub mod signals;
pub mod splice;
pub mod wait;
