//! What survives noded, spawner and step: one folder per run and instance, below the state
//! folder. Names in it come from validated ids and numbers only.
//!
//! ```text
//! runs/<run>/run          who it belongs to          (noded)
//! runs/<run>/ended        its head has everything    (noded)
//! runs/<run>/<rank>/      locked by its step         (step)
//!     spawn  exit         records                    (step)
//!     out.N  err.N        output of incarnation N    (step)
//! ```

mod instance;
mod run;

pub use instance::{InstanceDir, LogFile, SpawnRecord, TryLock};
pub use run::{Ledger, RunRecord};

/// Why something could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file or folder that cannot be made, read or written.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A record that is torn, or cannot be encoded.
    #[error("use record {path}")]
    Record {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        source: a2arun_core::record::RecordError,
    },
}
