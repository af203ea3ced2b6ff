//! Reaping (wait4(2)).

use std::io;

use a2arun_core::outcome::WaitStatus;

/// A child that was reaped.
#[derive(Debug, Clone, Copy)]
pub struct Reaped {
    /// Its pid, free again from now on.
    pub pid: i32,
    /// How it ended.
    pub status: WaitStatus,
    /// Peak resident set of it and what it waited for, in bytes.
    pub max_rss_bytes: u64,
}

/// What [`reap_any`] found.
#[derive(Debug, Clone, Copy)]
pub enum Reap {
    /// One was reaped.
    One(Reaped),
    /// There are children, none has ended.
    Running,
    /// There is no child at all (`ECHILD`): the proof that nothing is left.
    NoChild,
}

/// Reaps one child, whichever has ended, without waiting.
pub fn reap_any() -> io::Result<Reap> {
    let mut raw: libc::c_int = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to live, writable objects of the types that wait4(2) names.
        let pid = unsafe { libc::wait4(-1, &raw mut raw, libc::WNOHANG, usage.as_mut_ptr()) };
        if pid > 0 {
            // SAFETY: zeroed above, and filled by the kernel when a child was reaped.
            let usage = unsafe { usage.assume_init() };
            let kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
            let status = WaitStatus::from_raw(raw);
            return Ok(Reap::One(Reaped { pid, status, max_rss_bytes: kib * 1024 }));
        }
        if pid == 0 {
            return Ok(Reap::Running);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ECHILD) => return Ok(Reap::NoChild),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
}

/// Reaps this child, which has ended.
pub fn reap_one(pid: i32) -> io::Result<WaitStatus> {
    let mut raw: libc::c_int = 0;
    loop {
        // SAFETY: `raw` is a live, writable int.
        if unsafe { libc::waitpid(pid, &raw mut raw, 0) } == pid {
            return Ok(WaitStatus::from_raw(raw));
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
}

/// Whether there is any child, alive or not yet reaped.
pub fn has_child() -> bool {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a live, writable siginfo_t.
    unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) == 0 }
}

/// The pid of a child that has ended and was not reaped yet (waitid(2) with `WNOWAIT`), so that
/// its `/proc` entry can still be read.
pub fn peek_any() -> io::Result<Option<i32>> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a live, writable siginfo_t.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) };
    if result != 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECHILD | libc::EINTR) => Ok(None),
            _ => Err(error),
        };
    }
    // SAFETY: zeroed above; waitid(2) fills it in, or leaves si_pid 0 where nobody has ended.
    let pid = unsafe { info.assume_init().si_pid() };
    Ok((pid != 0).then_some(pid))
}
