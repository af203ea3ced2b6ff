//! The folder of runs: what noded finds again after it died.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use a2arun_core::ids::{Generation, Rank, RunId};
use a2arun_core::launch::RunIdentity;
use a2arun_core::record::{self, Kind};
use serde::{Deserialize, Serialize};

use super::LedgerError;

/// What is kept of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    /// Who it belongs to.
    pub identity: RunIdentity,
    /// The newest generation that was seen.
    pub generation: Generation,
}

/// All runs of this noded's state folder.
#[derive(Debug, Clone)]
pub struct Ledger {
    runs: PathBuf,
}

impl Ledger {
    /// Opens the folder of runs below `state_dir`, making it where it is missing.
    pub fn open(state_dir: &Path) -> Result<Self, LedgerError> {
        let runs = state_dir.join("runs");
        match fs::create_dir(&runs) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(LedgerError::Io { action: "make folder", path: runs, source });
            }
        }
        Ok(Self { runs })
    }

    /// A run's folder.
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.runs.join(run.as_str())
    }

    /// An instance's folder.
    pub fn instance_dir(&self, run: &RunId, rank: Rank) -> PathBuf {
        self.run_dir(run).join(rank.to_string())
    }

    /// Writes down a run; replaces what was known of it.
    pub fn write_run(&self, run: &RunRecord) -> Result<(), LedgerError> {
        let dir = self.run_dir(&run.identity.run);
        let io =
            |action, path: &Path, source| LedgerError::Io { action, path: path.into(), source };
        match fs::create_dir(&dir) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(io("make folder", &dir, e)),
        }
        let path = dir.join("run");
        match fs::remove_file(dir.join("ended")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io("remove", &dir, e)),
            Ok(()) | Err(_) => {}
        }
        let bytes = record::encode(Kind::Run, run)
            .map_err(|source| LedgerError::Record { path: path.clone(), source })?;
        let aside = dir.join(".run");
        fs::write(&aside, bytes).map_err(|e| io("write", &aside, e))?;
        fs::rename(&aside, &path).map_err(|e| io("rename", &path, e))
    }

    /// What is known of a run.
    pub fn read_run(&self, run: &RunId) -> Result<RunRecord, LedgerError> {
        let path = self.run_dir(run).join("run");
        let bytes = fs::read(&path).map_err(|source| LedgerError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        record::decode(Kind::Run, &bytes).map_err(|source| LedgerError::Record { path, source })
    }

    /// Marks a run as over: nothing of it needs to be found again.
    pub fn mark_ended(&self, run: &RunId) -> Result<(), LedgerError> {
        let path = self.run_dir(run).join("ended");
        fs::write(&path, b"").map_err(|source| LedgerError::Io { action: "write", path, source })
    }

    /// Whether it is over.
    pub fn has_ended(&self, run: &RunId) -> bool {
        self.run_dir(run).join("ended").exists()
    }

    /// Every run that has a folder with a valid name.
    pub fn runs(&self) -> Result<Vec<RunId>, LedgerError> {
        let entries = fs::read_dir(&self.runs).map_err(|source| LedgerError::Io {
            action: "list",
            path: self.runs.clone(),
            source,
        })?;
        Ok(entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
    }

    /// The ranks of a run that have a folder, in order.
    pub fn ranks(&self, run: &RunId) -> Vec<Rank> {
        let Ok(entries) = fs::read_dir(self.run_dir(run)) else { return Vec::new() };
        let mut ranks: Vec<Rank> = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok().map(Rank))
            .collect();
        ranks.sort_unstable();
        ranks
    }

    /// Removes the folders of all but the `keep` runs that ended last.
    pub fn prune(&self, keep: usize) {
        let Ok(runs) = self.runs() else { return };
        let mut ended: Vec<_> = runs
            .into_iter()
            .filter_map(|run| {
                let marker = fs::metadata(self.run_dir(&run).join("ended")).ok()?;
                Some((marker.modified().ok()?, run))
            })
            .collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(keep);
        for (_, run) in ended.into_iter().take(surplus) {
            let dir = self.run_dir(&run);
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::warn!(path = %dir.display(), %error, "cannot remove an old run");
            }
        }
    }
}
