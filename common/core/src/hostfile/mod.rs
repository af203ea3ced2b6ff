//! Which hosts there are: hostfiles of every dialect, `--host` lists and batch allocations.
//!
//! Names are never rewritten. Slots bind only where somebody wrote them, so a host without a
//! number has `slots: None`. Errors have their place, as in a job file.

mod batch;
mod columns;
mod entry;
mod hostlist;
mod keys;
mod parse;

pub use batch::{Allocation, BatchError, BatchFamily, Lookup, allocation};
pub use entry::{HostEntry, PortRange, PortRangeError};
pub use hostlist::{HOSTS_MAX, HostlistError, expand as expand_hostlist};
pub use keys::{HostKey, KEYS};
pub use parse::{parse, parse_hosts, parse_hosts_within, parse_within};
