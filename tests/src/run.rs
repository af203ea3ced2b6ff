//! Running `a2arun`: its output goes to files of the test's folder, so that it can be looked at
//! while it runs and no pipe ever fills up.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::wait::{Poll, wait_for};

/// A command that is being put together.
#[derive(Debug)]
pub struct Run {
    pub(crate) command: Command,
    pub(crate) base: PathBuf,
    limit: Duration,
}

impl Run {
    pub(crate) fn new(command: Command, base: PathBuf) -> Self {
        Self { command, base, limit: Duration::from_secs(60) }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// One more variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Where it runs; else the test's folder.
    pub fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// How long [`Run::run`] waits; 60 s if not given.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// What it reads; else /dev/null.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Writes standard output elsewhere, e.g. into a pipe that nobody reads.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time (then it is killed).
    pub fn run(self) -> Result<Output> {
        let limit = self.limit;
        self.spawn()?.wait(limit)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut self) -> Result<Head> {
        let (out, err) = (self.base.with_extension("out"), self.base.with_extension("err"));
        let args: Vec<OsString> = self.command.get_args().map(OsStr::to_owned).collect();
        self.command.stderr(File::create(&err)?);
        default_signals(&mut self.command);
        let child =
            self.command.spawn().with_context(|| format!("{:?}", self.command.get_program()))?;
        let text = args.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ");
        Ok(Head { child, out, err, args: text, started: Instant::now(), ended: None })
    }
}

/// A test may itself have been started with nohup(1), or in the background of a shell that lets
/// go of Ctrl-C (POSIX shell, 2.11): what it starts does not inherit that.
#[expect(unsafe_code, reason = "what is done between fork and exec has no safe form")]
fn default_signals(command: &mut Command) {
    let reset = || {
        for name in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
            // SAFETY: SIG_DFL is no handler, so no code of ours runs in signal context.
            unsafe { signal(name, SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: signal(2) is async-signal-safe, and nothing else is called.
    unsafe { command.pre_exec(reset) };
}

/// A running `a2arun`.
#[derive(Debug)]
pub struct Head {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    args: String,
    started: Instant,
    ended: Option<Output>,
}

/// How an `a2arun` ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code, or 128 + signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub args: String,
    /// From its start to its end, as seen by polls of at most 20 ms.
    pub took: Duration,
}

impl Head {
    /// Its process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        read_lossy(&self.out)
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        read_lossy(&self.err)
    }

    /// Waits until standard output contains a text.
    ///
    /// # Errors
    /// When it ends or the limit is over before.
    pub fn until_stdout(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.until(&format!("'{text}' on standard output"), limit, |head| {
            head.stdout().contains(text)
        })
    }

    /// Waits until standard error contains a text.
    ///
    /// # Errors
    /// When it ends or the limit is over before.
    pub fn until_stderr(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.until(&format!("'{text}' on standard error"), limit, |head| {
            head.stderr().contains(text)
        })
    }

    /// Waits for a condition while it runs.
    ///
    /// # Errors
    /// When it ends or the limit is over before.
    pub fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        wait_for(what, limit, || {
            let ended = matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
            if holds(self) {
                return Poll::Ready(());
            }
            let seen = format!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr());
            if ended { Poll::Hopeless(format!("it ended\n{seen}")) } else { Poll::NotYet(seen) }
        })
    }

    /// True once it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn wait(mut self, limit: Duration) -> Result<Output> {
        let waited = wait_for("a2arun to end", limit, || match self.child.try_wait() {
            Ok(Some(status)) => Poll::Ready(status),
            Ok(None) => Poll::NotYet(String::new()),
            Err(error) => Poll::Hopeless(error.to_string()),
        });
        let status = match waited {
            Ok(status) => status,
            Err(_) => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                bail!(
                    "a2arun {} did not end within {limit:?}\nstdout:\n{}\nstderr:\n{}",
                    self.args,
                    tail(&self.stdout()),
                    tail(&self.stderr())
                );
            }
        };
        let output = Output {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: self.stdout(),
            stderr: self.stderr(),
            args: self.args.clone(),
            took: self.started.elapsed(),
        };
        self.ended = Some(output.clone());
        Ok(output)
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Output {
    /// Fails with everything that was printed unless the code is `code`.
    ///
    /// # Errors
    /// When the code is another.
    pub fn expect_code(&self, code: i32) -> Result<&Self> {
        if self.code != code {
            bail!("exit code {} instead of {code}\n{}", self.code, self.describe());
        }
        Ok(self)
    }

    /// Fails unless standard error contains every one of these texts.
    ///
    /// # Errors
    /// When one is missing.
    pub fn expect_stderr(&self, texts: &[&str]) -> Result<&Self> {
        for text in texts {
            if !self.stderr.contains(text) {
                bail!("standard error does not say '{text}'\n{}", self.describe());
            }
        }
        Ok(self)
    }

    /// Standard output as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| self.describe())
    }

    /// Lines of standard output.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.stdout.lines()
    }

    /// Everything about it, for messages.
    pub fn describe(&self) -> String {
        let Self { code, args, took, .. } = self;
        let (out, err) = (tail(&self.stdout), tail(&self.stderr));
        format!("a2arun {args}\ncode {code} after {took:?}\nstdout:\n{out}\nstderr:\n{err}")
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
