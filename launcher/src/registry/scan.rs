//! What the folders say, and which run a name means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use a2arun_core::result::ResultJson;
use a2arun_core::status::StatusJson;

use crate::registry::folder::{RunJson, RunsDir, VERSION};

/// A folder that could be read.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) run: RunJson,
    pub(crate) life: Life,
}

/// What the files say of a run's life.
#[derive(Debug, Clone)]
pub(crate) enum Life {
    /// Its head is this very process, by pid and start.
    Alive,
    /// Its head is gone without a word.
    HeadGone,
    /// It wrote how it ended.
    Ended(Box<ResultJson>),
}

/// Why a folder could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is damaged", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{} has version {version}, which this a2arun does not know", path.display())]
    Version { path: PathBuf, version: u32 },
}

impl Damage {
    /// The run's folder.
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::Read { path, .. } | Self::Parse { path, .. } | Self::Version { path, .. } => {
                path.parent().unwrap_or(path)
            }
        }
    }
}

/// Every run, the newest first, and what could not be read.
pub(crate) fn list(runs: &RunsDir) -> io::Result<(Vec<Entry>, Vec<Damage>)> {
    let entries = match fs::read_dir(runs.path()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((Vec::new(), Vec::new()));
        }
        Err(error) => return Err(error),
    };
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = entry?.path();
        match read(&path) {
            Ok(Some(entry)) => found.push(entry),
            // Made a moment ago, or being removed.
            Ok(None) => {}
            Err(damage) => damaged.push(damage),
        }
    }
    found.sort_by(|a, b| b.run.started.cmp(&a.run.started).then(a.run.run.cmp(&b.run.run)));
    Ok((found, damaged))
}

/// How an entry's run lives now; only its own folder is looked at.
///
/// # Errors
/// When its files cannot be read.
pub(crate) fn reread(entry: &Entry) -> Result<Life, Damage> {
    // A folder that was removed belonged to a run that had ended.
    Ok(read(&entry.path)?.map_or(Life::HeadGone, |entry| entry.life))
}

fn read(path: &Path) -> Result<Option<Entry>, Damage> {
    let file = path.join("run.json");
    let Some(bytes) = read_file(&file)? else { return Ok(None) };
    let parse = |source| Damage::Parse { path: file.clone(), source };
    // The version first: a newer file may have other fields.
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(parse)?;
    let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if version != u64::from(VERSION) {
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        return Err(Damage::Version { path: file, version });
    }
    let run: RunJson = serde_json::from_value(value).map_err(parse)?;
    let result = path.join("result.json");
    let life = match read_file(&result)? {
        Some(bytes) => {
            let parsed = serde_json::from_slice(&bytes)
                .map_err(|source| Damage::Parse { path: result, source })?;
            Life::Ended(Box::new(parsed))
        }
        None if is_alive(&run) => Life::Alive,
        None => Life::HeadGone,
    };
    Ok(Some(Entry { path: path.to_owned(), run, life }))
}

/// How the instances of an ended run were at last; `None`: nobody wrote it down.
///
/// # Errors
/// When the file is there and cannot be read.
pub(crate) fn last_status(entry: &Entry) -> Result<Option<StatusJson>, Damage> {
    let path = entry.path.join("status.json");
    let Some(bytes) = read_file(&path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Damage::Parse { path, source })
}

fn read_file(path: &Path) -> Result<Option<Vec<u8>>, Damage> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(source) => Err(Damage::Read { path: path.to_owned(), source }),
    }
}

fn is_alive(run: &RunJson) -> bool {
    boot_id() == run.boot_id && process_start(run.pid) == Some(run.pid_started)
}

/// The kernel's name of this boot.
pub(crate) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Field 22 of proc_pid_stat(5): when a process began, in ticks after boot.
pub(crate) fn process_start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in field 2 may contain blanks and parentheses; fields are counted behind its end.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// What a name means.
#[derive(Debug)]
pub(crate) enum Found {
    One(Box<Entry>),
    None,
    /// It fits several; the newest first.
    Several(Vec<String>),
}

/// By run id, by job name, by unique prefix; of several runs of a name the one that lives, or
/// the newest.
pub(crate) fn find(entries: Vec<Entry>, name: &str) -> Found {
    if let Some(entry) = entries.iter().find(|e| e.run.run.as_str() == name) {
        return Found::One(Box::new(entry.clone()));
    }
    let named: Vec<&Entry> = entries.iter().filter(|e| e.run.job.as_str() == name).collect();
    if !named.is_empty() {
        return choose(&named);
    }
    let starts =
        |e: &&Entry| e.run.run.as_str().starts_with(name) || e.run.job.as_str().starts_with(name);
    let prefixed: Vec<&Entry> = entries.iter().filter(starts).collect();
    choose(&prefixed)
}

fn choose(entries: &[&Entry]) -> Found {
    let one = |entry: &Entry| Found::One(Box::new(entry.clone()));
    let live: Vec<&&Entry> = entries.iter().filter(|e| matches!(e.life, Life::Alive)).collect();
    match (live.as_slice(), entries) {
        (_, []) => Found::None,
        ([only], _) => one(only),
        ([], [newest, rest @ ..]) if rest.iter().all(|e| e.run.job == newest.run.job) => {
            one(newest)
        }
        ([], all) => Found::Several(all.iter().map(|e| e.run.run.to_string()).collect()),
        (live, _) => Found::Several(live.iter().map(|e| e.run.run.to_string()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::folder::RunFolder;

    fn entry(job: &str, run: &str, life: Life) -> Entry {
        let run = RunJson {
            version: VERSION,
            job: job.parse().unwrap(),
            run: run.parse().unwrap(),
            size: 1,
            started: jiff::Timestamp::UNIX_EPOCH,
            pid: 1,
            pid_started: 0,
            boot_id: String::new(),
            socket: PathBuf::new(),
            grace_ms: 10_000,
            hosts: Vec::new(),
            agents: Vec::new(),
            placed: Vec::new(),
            trust: None,
            entry: None,
            secret_names: Vec::new(),
            secrets: Vec::new(),
        };
        Entry { path: PathBuf::new(), run, life }
    }

    fn found(entries: &[Entry], name: &str) -> String {
        match find(entries.to_vec(), name) {
            Found::One(entry) => entry.run.run.to_string(),
            Found::None => "none".to_owned(),
            Found::Several(list) => list.join(" "),
        }
    }

    #[test]
    fn names_ids_and_prefixes() {
        let gone = || Life::HeadGone;
        let entries = [
            entry("web", "web-00000002", gone()),
            entry("web", "web-00000001", Life::Alive),
            entry("weather", "weather-00000003", gone()),
            entry("mesh", "mesh-00000004", Life::Alive),
            entry("mesh", "mesh-00000005", Life::Alive),
        ];
        assert_eq!(found(&entries, "web-00000002"), "web-00000002");
        assert_eq!(found(&entries, "web"), "web-00000001");
        assert_eq!(found(&entries, "weat"), "weather-00000003");
        assert_eq!(found(&entries, "mesh"), "mesh-00000004 mesh-00000005");
        assert_eq!(found(&entries, "we"), "web-00000001");
        assert_eq!(found(&entries[2..3], "we"), "weather-00000003");
        assert_eq!(found(&entries, "x"), "none");
    }

    #[test]
    fn damaged_files_are_told_and_new_folders_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(dir.path(), "h");
        let make = |run: &str| RunFolder::create(&runs, &run.parse().unwrap()).unwrap();
        make("new-1");
        fs::write(make("torn-1").path().join("run.json"), "{\"version\": 1, \"jo").unwrap();
        fs::write(make("later-1").path().join("run.json"), "{\"version\": 9}").unwrap();
        let good = entry("good", "good-1", Life::Alive).run;
        make("good-1").write_run(&good).unwrap();
        let (entries, mut damaged) = list(&runs).unwrap();
        assert_eq!(entries.len(), 1);
        assert!(matches!(entries[0].life, Life::HeadGone));
        damaged.sort_by_key(ToString::to_string);
        assert!(matches!(damaged[0], Damage::Version { version: 9, .. }));
        assert!(matches!(damaged[1], Damage::Parse { .. }));
    }

    #[test]
    fn our_own_start_is_known() {
        assert!(process_start(std::process::id()).is_some());
        assert_eq!(process_start(u32::MAX), None);
    }
}
