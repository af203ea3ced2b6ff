//! Text to job: the one entry for job files.

use crate::source::Finding;
use crate::spec::model::JobSpec;

/// Larger files are refused before they are read. Read one byte more to find out.
pub const INPUT_BYTES_MAX: usize = 8 << 20;

/// A job and what its file says without effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The job.
    pub spec: JobSpec,
    /// Warnings, in file order.
    pub warnings: Vec<Finding>,
}

/// Reads a job file. `file_name` gives the job's name where the file does not. `vars` answers
/// `${VAR}`. Every finding comes at once, errors and warnings, in file order.
pub fn load(
    file_name: &str,
    text: &str,
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Finding>> {
    let _ = (file_name, text, vars);
    Err(Vec::new())
}

/// As [`load`], from bytes: binary files are a finding.
pub fn load_bytes(
    file_name: &str,
    bytes: &[u8],
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Finding>> {
    load(file_name, &String::from_utf8_lossy(bytes), vars)
}
