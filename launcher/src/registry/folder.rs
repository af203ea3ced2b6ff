//! One run's folder, as its head writes it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::{AgentId, HostName, JobName, Rank, RunId};
use a2arun_core::result::{Counts, FirstCause, Origin, ResultJson};
use a2arun_core::status::{ResultWord, StatusJson};
use a2arun_rt::files::{Durability, write_atomic};
use a2arun_rt::paths::SOCKET_PATH_BYTES_MAX;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Ended runs that are kept, about.
const ENDED_KEPT: usize = 50;
/// The version of `run.json` that is written; newer ones are not read.
pub(crate) const VERSION: u32 = 1;

/// The folder of all runs.
#[derive(Debug, Clone)]
pub(crate) struct RunsDir(PathBuf);

impl RunsDir {
    /// `base` is `$XDG_STATE_HOME`, `~/.local/state`, or what stands in for them.
    pub(crate) fn new(base: &Path, hostname: &str) -> Self {
        let host: String =
            hostname.chars().map(|c| if c == '/' || c == '\0' { '_' } else { c }).collect();
        Self(base.join("a2arun").join(host).join("runs"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunJson {
    pub(crate) version: u32,
    pub(crate) job: JobName,
    pub(crate) run: RunId,
    pub(crate) size: u32,
    pub(crate) started: Timestamp,
    /// The head.
    pub(crate) pid: u32,
    /// In clock ticks after boot (proc_pid_stat(5)): tells the head from a later process.
    pub(crate) pid_started: u64,
    pub(crate) boot_id: String,
    /// The head's socket.
    pub(crate) socket: PathBuf,
    /// The largest grace, in milliseconds.
    pub(crate) grace_ms: u64,
    pub(crate) hosts: Vec<HostReach>,
    pub(crate) agents: Vec<AgentRanks>,
    /// By rank: its place in `hosts`. Empty in files of older versions.
    #[serde(default)]
    pub(crate) placed: Vec<u32>,
    /// The trust folder that was used, where one was.
    pub(crate) trust: Option<PathBuf>,
    /// Who answers questions to the job; absent in files of older versions.
    #[serde(default)]
    pub(crate) entry: Option<AgentId>,
    /// Where the secrets of its output come from, never what they are.
    #[serde(default)]
    pub(crate) secrets: Vec<SecretRef>,
    /// Names of variables that hold secrets. Unknown in files of older versions.
    #[serde(default)]
    pub(crate) secret_names: Vec<String>,
}

/// Where `logs` in another shell may learn which values to mask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub(crate) enum SecretRef {
    /// A variable of the shell.
    Env { name: String },
    /// A variable of a file of variables.
    Variable { path: PathBuf, name: String },
    /// A file that is the secret.
    File { path: PathBuf },
    /// A file of variables.
    EnvFile { path: PathBuf },
    /// The job file has values under the names of secrets.
    JobFile { path: PathBuf },
    /// Nobody can say it again.
    Gone { what: String },
}

/// An agent's ranks: `first .. first + count`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentRanks {
    pub(crate) id: AgentId,
    pub(crate) first: Rank,
    pub(crate) count: u32,
    /// Its URL, where it is not ours.
    #[serde(default)]
    pub(crate) external: Option<String>,
}

impl RunJson {
    /// The ranks of a host, by its place in `hosts`; all of them where nobody wrote it down.
    pub(crate) fn ranks_of(&self, host: usize) -> Vec<Rank> {
        let on_it =
            |rank: &u32| self.placed.get(*rank as usize).is_none_or(|at| *at as usize == host);
        (0..self.size).filter(on_it).map(Rank).collect()
    }

    /// Agent and copy of a rank.
    pub(crate) fn name_of(&self, rank: Rank) -> Option<(String, u32)> {
        let agent =
            self.agents.iter().find(|a| (a.first.0..a.first.0 + a.count).contains(&rank.0))?;
        Some((agent.id.to_string(), rank.0 - agent.first.0))
    }
}

/// A host and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub(crate) enum HostReach {
    /// The user's noded on this machine.
    Local { name: HostName, control: PathBuf },
    /// An installed noded.
    Installed { name: HostName, address: String, port: u16 },
}

impl HostReach {
    pub(crate) fn name(&self) -> &HostName {
        match self {
            Self::Local { name, .. } | Self::Installed { name, .. } => name,
        }
    }
}

/// A run's folder.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder, 0700.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create(runs: &RunsDir, run: &RunId) -> io::Result<Self> {
        let path = runs.path().join(run.as_str());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `head.sock` in the folder; where that is too long for a socket, one in `short`.
    pub(crate) fn socket(&self, short: &Path, run: &RunId) -> PathBuf {
        let own = self.path.join("head.sock");
        if own.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return own;
        }
        let id = run.as_str();
        let tail = id.rsplit('-').next().unwrap_or(id);
        short.join(format!("h-{tail}.sock"))
    }

    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_run(&self, run: &RunJson) -> io::Result<()> {
        let bytes = serde_json::to_vec(run).map_err(io::Error::other)?;
        write_atomic(&self.path.join("run.json"), &bytes, 0o600, Durability::Process)
    }

    /// How every instance ended, for `status` when its head and hosts are gone. To be written
    /// before the result, which says that the run is over.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_status(&self, status: &StatusJson) -> io::Result<()> {
        let bytes = serde_json::to_vec(status).map_err(io::Error::other)?;
        write_atomic(&self.path.join("status.json"), &bytes, 0o600, Durability::Process)
    }

    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_result(&self, result: &ResultJson) -> io::Result<()> {
        write_result(&self.path, result, 0o600)
    }
}

/// Writes the end of a run whose head is gone and of which nothing is left. How its instances
/// ended is known as far as their hosts still know it.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write_closed(entry: &super::Entry, status: &StatusJson) -> io::Result<()> {
    let mut counts = Counts { size: entry.run.size, ..Counts::default() };
    counts.unknown = entry.run.size;
    let ended = Timestamp::now();
    let result = ResultJson {
        job: entry.run.job.to_string(),
        run: entry.run.run.to_string(),
        result: ResultWord::Canceled,
        exit_code: LauncherCode::Internal.code(),
        origin: Origin::Launcher,
        first_cause: Some(FirstCause {
            agent: None,
            rank: None,
            host: None,
            when: ended,
            why: format!("its head (pid {}) is gone without a word", entry.run.pid),
            reason: None,
            code: None,
            signal: None,
            stderr: Vec::new(),
        }),
        answer: None,
        started: entry.run.started,
        ready: None,
        ended,
        counts,
    };
    let folder = RunFolder { path: entry.path.clone() };
    let status = StatusJson { result: Some(result.result), since: Some(ended), ..status.clone() };
    folder.write_status(&status)?;
    folder.write_result(&result)
}

/// Writes `result.json` into a folder.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_result(dir: &Path, result: &ResultJson, mode: u32) -> io::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(result).map_err(io::Error::other)?;
    bytes.push(b'\n');
    write_atomic(&dir.join("result.json"), &bytes, mode, Durability::Process)
}

/// A run of an earlier boot that nobody has looked at for this long is over: its hosts end what
/// has no head much sooner.
const HEADLESS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Removes the oldest folders of runs that have ended, beyond the number that is kept, and those
/// whose head was lost with the machine long ago.
pub(crate) fn prune(runs: &RunsDir) {
    let Ok(entries) = fs::read_dir(runs.path()) else { return };
    let boot = super::boot_id();
    let modified = |path: PathBuf| fs::metadata(path).ok()?.modified().ok();
    let mut ended: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if let Some(time) = modified(path.join("result.json")) {
            ended.push((time, path));
            continue;
        }
        let old = modified(path.join("run.json"))
            .and_then(|time| time.elapsed().ok())
            .is_some_and(|age| age >= HEADLESS_KEPT);
        let of_this_boot = || {
            let run = fs::read(path.join("run.json")).ok();
            let run = run.and_then(|bytes| serde_json::from_slice::<RunJson>(&bytes).ok());
            run.is_none_or(|run| run.boot_id == boot)
        };
        if old && !of_this_boot() {
            let _ = fs::remove_dir_all(&path);
        }
    }
    if ended.len() <= ENDED_KEPT {
        return;
    }
    ended.sort();
    let extra = ended.len() - ENDED_KEPT;
    for (_, path) in &ended[..extra] {
        // Another launcher may be removing the same one.
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_moves_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let run: RunId = "weather-0a1b2c3d".parse().unwrap();
        let short = RunFolder::create(&RunsDir::new(dir.path(), "h"), &run).unwrap();
        assert!(short.socket(Path::new("/run/x"), &run).ends_with("weather-0a1b2c3d/head.sock"));
        let deep = dir.path().join("x".repeat(90));
        let long = RunFolder::create(&RunsDir::new(&deep, "h"), &run).unwrap();
        assert_eq!(long.socket(Path::new("/run/x"), &run), Path::new("/run/x/h-0a1b2c3d.sock"));
    }

    #[test]
    fn the_newest_ended_runs_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(dir.path(), "h");
        for n in 0..ENDED_KEPT + 3 {
            let path = runs.path().join(format!("j-{n:08}"));
            fs::create_dir_all(&path).unwrap();
            let file = fs::File::create(path.join("result.json")).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(n as u64);
            file.set_modified(time).unwrap();
        }
        fs::create_dir_all(runs.path().join("live")).unwrap();
        prune(&runs);
        let count = fs::read_dir(runs.path()).unwrap().count();
        assert_eq!(count, ENDED_KEPT + 1);
        assert!(!runs.path().join("j-00000002").exists());
        assert!(runs.path().join("j-00000003").exists());
    }
}
