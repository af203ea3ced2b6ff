//! Which hosts there are: hostfiles in Open MPI's and Hydra's syntax, and `--host` lists.
//!
//! Names are never rewritten. Slots bind only where somebody wrote them, so a host without a
//! number has `slots: None`. Errors have their place, as in a job file.

mod entry;
mod parse;

pub use entry::{HostEntry, PortRange, PortRangeError};
pub use parse::{parse, parse_hosts};
