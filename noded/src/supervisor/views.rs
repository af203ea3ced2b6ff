//! What the log readers need to know of runs, published by the supervisor.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use a2arun_core::ids::{Incarnation, Rank, RunId};
use tokio::sync::watch;

/// An instance that has, or may get, output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceView {
    /// The rank.
    pub rank: Rank,
    /// Which spawn.
    pub incarnation: Incarnation,
    /// Whether standard output and standard error have a file.
    pub has_output: [bool; 2],
    /// Once it is over: bytes of standard output and of standard error.
    pub ended: Option<(u64, u64)>,
}

/// A run, as its log readers see it.
#[derive(Debug, Clone, Default)]
pub struct RunView {
    /// Its instances so far.
    pub instances: Arc<Vec<InstanceView>>,
    /// No more instances will come.
    pub ended: bool,
}

/// The published views of all runs in memory.
#[derive(Debug, Clone, Default)]
pub struct Views {
    runs: Arc<RwLock<HashMap<RunId, watch::Receiver<RunView>>>>,
}

impl Views {
    /// The view of a run; `None` where it is not in memory: over, or never there.
    pub fn get(&self, run: &RunId) -> Option<watch::Receiver<RunView>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).get(run).cloned()
    }

    /// Publishes a run.
    pub(super) fn add(&self, run: &RunId) -> watch::Sender<RunView> {
        let (sender, receiver) = watch::channel(RunView::default());
        self.runs.write().unwrap_or_else(PoisonError::into_inner).insert(run.clone(), receiver);
        sender
    }

    /// Forgets a run; readers that have it see its end.
    pub(super) fn remove(&self, run: &RunId) {
        self.runs.write().unwrap_or_else(PoisonError::into_inner).remove(run);
    }
}
