//! An agent's process: it shares the step's memory until exec, so that nothing is copied, and
//! waits at a gate until the step has written down that it exists.
//!
//! clone(2) with `CLONE_VM | CLONE_PIDFD`, as posix_spawn does it, but without `CLONE_VFORK`: the
//! step must go on to open the gate. The child runs on a stack of its own and calls nothing but
//! system calls; it writes nothing that the step reads, apart from errno on a failed call, and
//! calls fail only while the step waits for the result.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::fork::own;

const STACK_BYTES: usize = 32 * 1024;

/// Everything that the child needs, made before it exists.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The program's path; relative to `workdir`.
    pub path: CString,
    /// argv.
    pub argv: Vec<CString>,
    /// `NAME=value`.
    pub env: Vec<CString>,
    /// The working directory.
    pub workdir: CString,
    /// The umask; `None`: as it is.
    pub umask: Option<u32>,
    /// The soft and hard limit of descriptors to go back to.
    pub nofile: Option<(u64, u64)>,
    /// The folder in which the record of this process is, and the record's name. A process that
    /// is left alone at its gate takes the record back: it never ran.
    pub record: (BorrowedFd<'a>, CString),
    /// Becomes descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Becomes descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Becomes descriptor 2.
    pub stderr: BorrowedFd<'a>,
}

/// A process that exists and waits at its gate.
#[derive(Debug)]
pub struct Gated {
    /// Its pid, pinned until it is reaped.
    pub pid: i32,
    /// The same, as a descriptor (`CLONE_PIDFD`).
    pub pidfd: OwnedFd,
    gate: OwnedFd,
    result: OwnedFd,
    // Both are used by the child until it has exec'ed.
    _stack: Stack,
    _raw: Box<RawPlan>,
}

/// Where a started child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// chdir(2).
    Workdir,
    /// Anything else before exec.
    Prepare,
    /// execve(2).
    Exec,
}

/// Why a child did not become the agent.
#[derive(Debug)]
pub struct ExecFailure {
    /// Where.
    pub stage: Stage,
    /// errno.
    pub error: io::Error,
}

#[derive(Debug)]
struct RawPlan {
    path: *const c_char,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    workdir: *const c_char,
    umask: Option<u32>,
    nofile: Option<(u64, u64)>,
    fds: [c_int; 3],
    gate: c_int,
    gate_writer: c_int,
    result: c_int,
    record_dir: c_int,
    record_name: *const c_char,
}

#[derive(Debug)]
struct Stack {
    base: *mut c_void,
}

impl Stack {
    fn new() -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping that nothing else refers to.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                STACK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { base }) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; `open` and `abandon`, which consume `Gated`,
        // return only once the child has exec'ed or ended, so nobody runs on it.
        unsafe { libc::munmap(self.base, STACK_BYTES) };
    }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|t| t.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}

/// Makes the process. It does nothing until [`Gated::open`], and ends if the caller dies before.
/// Every signal of the caller must be blocked.
///
/// # Errors
/// `EAGAIN` where the user may have no more processes, `ENOMEM`, `EMFILE`.
pub fn gated(plan: &Plan<'_>) -> io::Result<Gated> {
    use rustix::pipe::PipeFlags;
    let (gate_reader, gate) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (result, result_writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let stack = Stack::new()?;
    let raw = Box::new(RawPlan {
        path: plan.path.as_ptr(),
        argv: pointers(&plan.argv),
        env: pointers(&plan.env),
        workdir: plan.workdir.as_ptr(),
        umask: plan.umask,
        nofile: plan.nofile,
        fds: [plan.stdin.as_raw_fd(), plan.stdout.as_raw_fd(), plan.stderr.as_raw_fd()],
        gate: gate_reader.as_raw_fd(),
        gate_writer: gate.as_raw_fd(),
        result: result_writer.as_raw_fd(),
        record_dir: plan.record.0.as_raw_fd(),
        record_name: plan.record.1.as_ptr(),
    });
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_PIDFD | libc::SIGCHLD;
    let argument = std::ptr::from_ref::<RawPlan>(&raw).cast::<c_void>().cast_mut();
    // SAFETY: the stack is a live mapping of STACK_BYTES, growing down from its end, 16-byte
    // aligned; `raw` and what it points to (`plan`) outlive the child's use of them because
    // `Gated` keeps the former and `open` is called while the caller still has the latter.
    let pid = unsafe {
        let top = stack.base.cast::<u8>().add(STACK_BYTES).cast::<c_void>();
        libc::clone(child, top, flags, argument, &raw mut pidfd)
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: CLONE_PIDFD has just put a new descriptor there.
    let pidfd = unsafe { own(pidfd) };
    Ok(Gated { pid, pidfd, gate, result, _stack: stack, _raw: raw })
}

impl Gated {
    /// Ends the process before it has run.
    pub fn abandon(self) {
        let Self { pidfd, gate, _stack: stack, _raw: raw, .. } = self;
        drop(gate);
        wait_for_end(&pidfd);
        drop((stack, raw));
    }

    /// Lets the process go on, and waits until it has exec'ed or failed to.
    pub fn open(self) -> Result<(i32, OwnedFd), ExecFailure> {
        let prepare = |error| ExecFailure { stage: Stage::Prepare, error };
        rustix::io::write(&self.gate, b"g").map_err(|e| prepare(e.into()))?;
        let mut failure = [0u8; 8];
        let read = loop {
            match rustix::io::read(&self.result, &mut failure) {
                Ok(read) => break read,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(prepare(e.into())),
            }
        };
        if read == 0 {
            // Close-on-exec has closed the writer: the agent runs, on memory of its own.
            return Ok((self.pid, self.pidfd));
        }
        wait_for_end(&self.pidfd);
        let stage = match failure[0] {
            b'w' => Stage::Workdir,
            b'e' => Stage::Exec,
            _ => Stage::Prepare,
        };
        let errno = i32::from_ne_bytes([failure[4], failure[5], failure[6], failure[7]]);
        Err(ExecFailure { stage, error: io::Error::from_raw_os_error(errno) })
    }
}

/// Waits until the child runs no more on the memory that it shares with this process.
fn wait_for_end(pidfd: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    while matches!(poll(&mut fds, None), Err(rustix::io::Errno::INTR)) {}
}

/// The child's whole life between clone and exec. Only system calls from here on.
extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: the argument is the RawPlan that `gated` keeps alive.
    let plan = unsafe { &*argument.cast::<RawPlan>() };
    // SAFETY: plain system calls on numbers and on pointers that `plan` keeps alive; the
    // descriptor table is the child's own (no CLONE_FILES).
    unsafe {
        libc::close(plan.gate_writer);
        let mut byte = 0u8;
        // 0: the step died before it could write down that this process exists.
        if libc::read(plan.gate, (&raw mut byte).cast(), 1) != 1 {
            // It still holds the folder's lock, so nobody has looked yet.
            libc::unlinkat(plan.record_dir, plan.record_name, 0);
            libc::_exit(127);
        }
        libc::setsid();
        if libc::chdir(plan.workdir) != 0 {
            fail(plan, b'w');
        }
        if let Some(mask) = plan.umask {
            libc::umask(mask);
        }
        if let Some((soft, hard)) = plan.nofile {
            let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
        for (target, fd) in (0..).zip(plan.fds) {
            // The step keeps its own descriptors above 2, so no source is overwritten.
            if libc::dup2(fd, target) < 0 {
                fail(plan, b'p');
            }
        }
        // The Rust runtime ignores SIGPIPE, and ignored signals survive exec.
        for signal in 1..=31 {
            if signal != libc::SIGKILL && signal != libc::SIGSTOP {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        libc::execve(plan.path, plan.argv.as_ptr(), plan.env.as_ptr());
        fail(plan, b'e');
    }
}

fn fail(plan: &RawPlan, stage: u8) -> ! {
    // SAFETY: errno's address is valid in every thread; write(2) and _exit(2) as documented.
    unsafe {
        let errno = (*libc::__errno_location()).to_ne_bytes();
        let message = [stage, 0, 0, 0, errno[0], errno[1], errno[2], errno[3]];
        libc::write(plan.result, message.as_ptr().cast(), message.len());
        libc::_exit(127)
    }
}

/// A C string of the text up to its first NUL.
pub fn c_string(text: &str) -> CString {
    let bytes = text.as_bytes();
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_else(|_| CStr::to_owned(c""))
}
