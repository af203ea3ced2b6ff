//! Signal masks and the descriptor that tells of them (signalfd(2)).

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Blocks every signal of this thread, so that only `SIGKILL` and `SIGSTOP` get through.
pub fn block_all() -> io::Result<()> {
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
    Ok(())
}

/// Takes back what a parent blocked: a daemon that was started again must hear its signals.
pub fn unblock_all() -> io::Result<()> {
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

/// A descriptor that is readable when `SIGCHLD` is pending. It must be blocked already.
pub fn sigchld_fd() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Empties the descriptor.
pub fn drain(fd: &mut SignalFd) {
    while let Ok(Some(_)) = fd.read_signal() {}
}

/// An event counter that any holder can raise (eventfd(2)).
pub fn eventfd() -> io::Result<OwnedFd> {
    use rustix::event::EventfdFlags;
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Raises an event counter. A full counter is raised already.
pub fn raise(fd: impl std::os::fd::AsFd) {
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

/// Makes this process the one that orphans below it fall to (`PR_SET_CHILD_SUBREAPER`, prctl(2)).
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}

/// The name in `ps`, at most 15 bytes.
pub fn set_name(name: &std::ffi::CStr) {
    let _ = nix::sys::prctl::set_name(name);
}
