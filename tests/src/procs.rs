//! What runs, read from /proc. A process belongs to a test when the test's folder stands in its
//! environment or its arguments.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proc {
    pub pid: i32,
    pub parent: i32,
    /// The kernel's name of it, at most 15 bytes.
    pub comm: String,
    pub args: String,
    /// In clock ticks since boot: with the pid it says who this is.
    pub started: u64,
}

impl Proc {
    /// Reads one process; `None` where it is gone or a zombie.
    pub fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // comm stands in parentheses and may contain anything, so the last one counts: proc(5).
        let (before, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        let args = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let args = args.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            comm: before.split_once('(')?.1.to_owned(),
            args: args.collect::<Vec<_>>().join(" ").trim_end().to_owned(),
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// True while this very process lives (not another one with its pid).
    pub fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// One variable of the environment that it was exec'ed with.
    pub fn env(&self, name: &str) -> Option<String> {
        let environ = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let prefix = format!("{name}=");
        environ.split(|byte| *byte == 0).find_map(|pair| {
            pair.strip_prefix(prefix.as_bytes()).map(|value| String::from_utf8_lossy(value).into())
        })
    }

    /// Sends a signal, if this very process still lives.
    pub fn signal(&self, signal: Signal) {
        if self.lives() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Part of the product rather than an agent.
    pub fn is_ours(&self) -> bool {
        self.is_daemon() || self.comm == "a2arun-step" || self.comm == "a2arun"
    }

    /// noded or its spawner: they may stay when a job ends.
    pub fn is_daemon(&self) -> bool {
        matches!(self.comm.as_str(), "noded" | "a2arun-spawner")
    }
}

/// Every living process whose environment or arguments contain `folder`, but the caller.
pub fn of_folder(folder: &Path) -> Vec<Proc> {
    let needle = folder.as_os_str().as_bytes();
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let contains = |path: PathBuf| {
        fs::read(path).is_ok_and(|content| content.windows(needle.len()).any(|part| part == needle))
    };
    all()
        .into_iter()
        .filter(|pid| *pid != me)
        .filter(|pid| {
            contains(format!("/proc/{pid}/environ").into())
                || contains(format!("/proc/{pid}/cmdline").into())
        })
        .filter_map(Proc::read)
        .collect()
}

/// The agents among them, by what they were told about themselves: (run folder, process). Only
/// the leaders, not what they started.
pub fn agents(folder: &Path) -> Vec<(u32, Proc)> {
    let all = of_folder(folder);
    let steps: Vec<i32> = all.iter().filter(|p| p.is_ours()).map(|p| p.pid).collect();
    let mut found: Vec<(u32, Proc)> = all
        .iter()
        .filter(|p| !p.is_ours() && steps.contains(&p.parent))
        .filter_map(|p| Some((p.env("A2ARUN_RANK")?.parse().ok()?, p.clone())))
        .collect();
    found.sort_by_key(|(rank, p)| (*rank, p.pid));
    found
}

/// The inodes of the pipes that a process can read from, with how often.
pub fn pipes(pid: i32) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let Ok(link) = fs::read_link(entry.path()) else { continue };
        let link = link.to_string_lossy().into_owned();
        if link.starts_with("pipe:") && can_read(pid, &entry.file_name().to_string_lossy()) {
            *found.entry(link).or_insert(0) += 1;
        }
    }
    found
}

/// By the access mode of proc_pid_fdinfo(5), in octal: 01 writes only.
fn can_read(pid: i32, fd: &str) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.is_some_and(|flags| !flags.trim_end().ends_with(['1', '3', '5', '7']))
}

fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
