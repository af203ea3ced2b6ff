//! Everything that is read from around us, once, at the start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use a2arun_core::ids::HostName;
use a2arun_rt::paths::{StatePaths, absolute, hostname};
use a2arun_rt::tls::TrustDir;

use crate::cli::OutputArgs;
use crate::output::Style;
use crate::registry::RunsDir;
use crate::target::find_noded;

/// Who and where we are.
#[derive(Debug, Clone)]
pub struct Context {
    /// The environment as it is.
    pub environment: BTreeMap<OsString, OsString>,
    /// Absolute.
    pub cwd: PathBuf,
    /// Our own program.
    pub exe: PathBuf,
    /// Our user.
    pub uid: u32,
    /// The kernel's name of this machine.
    pub hostname: String,
    /// Whether stdout is a terminal.
    pub stdout_terminal: bool,
    /// Whether stderr is a terminal.
    pub stderr_terminal: bool,
}

impl Context {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no working directory any more.
    pub fn read() -> io::Result<Self> {
        Ok(Self {
            environment: std::env::vars_os().collect(),
            cwd: std::env::current_dir()?,
            exe: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("a2arun")),
            uid: rustix::process::getuid().as_raw(),
            hostname: hostname(),
            stdout_terminal: io::stdout().is_terminal(),
            stderr_terminal: io::stderr().is_terminal(),
        })
    }

    pub(crate) fn var(&self, name: &str) -> Option<&OsString> {
        self.environment.get(std::ffi::OsStr::new(name))
    }

    fn lookup(&self) -> impl Fn(&str) -> Option<OsString> + '_ {
        |name| self.var(name).cloned()
    }

    /// A variable's text, where it has one.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.var(name).and_then(|v| v.to_str()).map(str::to_owned)
    }

    /// The variables that are text; what is not cannot be put into a message.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        let pairs = self.environment.iter();
        pairs.filter_map(|(k, v)| Some((k.to_str()?.to_owned(), v.to_str()?.to_owned()))).collect()
    }

    pub(crate) fn paths(&self) -> Result<StatePaths, a2arun_rt::paths::PathsError> {
        StatePaths::discover(self.lookup(), self.uid)
    }

    pub(crate) fn noded(&self) -> Result<PathBuf, PathBuf> {
        find_noded(&self.exe, self.var("PATH").map(OsString::as_os_str))
    }

    /// `--trust`, else `$A2ARUN_TRUST`, else the user's.
    pub(crate) fn trust_dir(&self, given: Option<&Path>) -> Option<TrustDir> {
        given
            .map(Path::to_owned)
            .or_else(|| self.var("A2ARUN_TRUST").filter(|v| !v.is_empty()).map(PathBuf::from))
            .or_else(|| TrustDir::default_path(self.lookup()))
            .map(|path| TrustDir::new(self.cwd.join(path)))
    }

    /// The folder of this machine's runs. HOME may be empty or unset: the state folder then.
    pub(crate) fn runs(&self) -> Result<RunsDir, a2arun_rt::paths::PathsError> {
        let lookup = self.lookup();
        let base = absolute(&lookup, "XDG_STATE_HOME")
            .or_else(|| absolute(&lookup, "HOME").map(|home| home.join(".local/state")));
        let base = match base {
            Some(base) => base,
            None => {
                let paths = self.paths()?;
                // It lies where others may write: it must be ours before anything is put there.
                paths.create()?;
                paths.state_dir
            }
        };
        Ok(RunsDir::new(&base, &self.hostname))
    }

    /// This machine, as a host's name.
    pub(crate) fn local_name(&self) -> HostName {
        self.hostname
            .parse()
            .or_else(|_| "localhost".parse())
            .expect("a constant that is a valid host name")
    }

    fn no_color(&self) -> bool {
        self.var("NO_COLOR").is_some_and(|v| !v.is_empty())
    }

    pub(crate) fn stderr_style(&self, output: OutputArgs) -> Style {
        Style::choose(output.color, self.stderr_terminal, self.no_color())
    }

    /// Colour for text that goes to both.
    pub(crate) fn log_style(&self, output: OutputArgs) -> Style {
        let both = self.stdout_terminal && self.stderr_terminal;
        Style::choose(output.color, both, self.no_color())
    }
}
