//! The runs of this machine: a folder each, under the user's state folder.
//!
//! ```text
//! $XDG_STATE_HOME/a2arun/<hostname>/runs/<run>/run.json     who it is, where, since when
//!                                             /status.json  its instances at last
//!                                             /result.json  how it ended
//!                                             /head.sock    its head, while it lives
//! ```
//!
//! What runs is asked of heads and nodeds; files only say whom to ask. A damaged file is said to
//! be damaged, never taken as empty.

mod folder;
mod journal;
mod scan;

pub(crate) use folder::{
    AgentRanks, HostReach, RunFolder, RunJson, RunsDir, SecretRef, VERSION, prune, write_closed,
    write_result,
};
pub(crate) use journal::{Entry as JournalEntry, Journal, JournalWriter};
pub(crate) use scan::{
    Entry, Found, Life, boot_id, find, last_status, list, process_start, reread,
};
