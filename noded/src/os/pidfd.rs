//! Processes by descriptor: never a bare pid (pidfd_open(2), pidfd_send_signal(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use a2arun_core::launch::SignalNumber;
use a2arun_core::outcome::WaitStatus;
use rustix::process::{Pid, PidfdFlags, Signal};

/// A descriptor for `pid`, whoever that is now: check the start time before trusting it.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("pid 0"))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Signals the process behind the descriptor. One that has ended is no error.
pub fn signal(pidfd: impl AsFd, signal: SignalNumber) -> io::Result<()> {
    let Some(signal) = Signal::from_named_raw(signal.0) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Signals a process group. Only while its leader is unreaped, which pins the number.
pub fn signal_group(leader: i32, signal: SignalNumber) -> io::Result<()> {
    // SAFETY: kill(2) takes plain numbers.
    if unsafe { libc::kill(-leader, signal.0) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}

/// Whether the process has ended (poll(2) on a pidfd; true for a zombie as well).
pub fn has_ended(pidfd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&zero)), Ok(1))
}

/// The kernel's `struct pidfd_info` (include/uapi/linux/pidfd.h), version 2: 80 bytes.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ruid: u32,
    rgid: u32,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    fsuid: u32,
    fsgid: u32,
    exit_code: i32,
    coredump_mask: u32,
    spare: u32,
    supported_mask: u64,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// How a process ended that is nobody's child here: known from kernel 6.15 on, once its own
/// parent has reaped it. `None`: not known (yet).
pub fn exit_status(pidfd: impl AsFd) -> Option<WaitStatus> {
    // _IOWR(0xFF, 11, struct pidfd_info): direction 3, size, type, number (asm-generic/ioctl.h).
    const SIZE: libc::c_ulong = 80;
    const PIDFD_GET_INFO: libc::c_ulong = (3 << 30) | (SIZE << 16) | (0xFF << 8) | 11;
    const { assert!(size_of::<PidfdInfo>() == 80) };
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the ioctl writes at most the 80 bytes that its number names.
    let result =
        unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| WaitStatus::from_raw(info.exit_code))
}
