//! fork(2) from a process with one thread.

use std::io;

/// Which side of the fork this is.
#[derive(Debug)]
pub enum Fork {
    /// The parent, with the child's pid.
    Parent(i32),
    /// The child.
    Child,
}

/// Forks. Refused where the process has more than one thread: the child would hold locks whose
/// owners it does not have.
pub fn fork_single_threaded() -> io::Result<Fork> {
    debug_assert!(thread_count().is_none_or(|n| n == 1));
    // SAFETY: the process has a single thread (the spawner never starts one, noded forks before
    // its runtime exists), so the child may go on with ordinary code.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

fn thread_count() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

/// Ends the process at once: no destructors, no buffers of the parent flushed twice (_exit(2)).
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) never returns and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor above 2 but the ones named (close_range(2), else one by one).
///
/// For a process that was just forked: what its parent owned is closed without the owners
/// knowing, so none of them may be used or dropped from here on.
pub fn close_all_but(keep: &mut [i32]) {
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep.iter().copied().filter(|fd| *fd >= 3) {
        if first < fd {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, i32::MAX);
}

fn close_range(first: i32, last: i32) {
    let low = libc::c_uint::try_from(first).unwrap_or(0);
    let high = libc::c_uint::try_from(last).unwrap_or(libc::c_uint::MAX);
    // SAFETY: plain numbers; see the contract of `close_all_but`.
    if unsafe { libc::syscall(libc::SYS_close_range, low, high, 0) } == 0 {
        return;
    }
    // Kernels before 5.9 have no close_range.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> =
        entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: as above; closing a number that is closed already only fails.
        unsafe { libc::close(fd) };
    }
}

/// Takes ownership of descriptor `fd`.
///
/// # Safety
/// `fd` is open and nobody else owns it.
pub unsafe fn own(fd: i32) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the caller's promise.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }
}

/// Closes a descriptor that this process was started with and that nothing in it owns.
pub fn close_inherited(fd: i32) {
    if fd > 2 {
        // SAFETY: the number came on the command line for this purpose alone.
        unsafe { libc::close(fd) };
    }
}
