//! What verbs that start nothing print, as snapshots: the built program in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod bed;
mod completions;
mod env;
mod graph;
mod help;
mod init;
mod json_schema;
mod plan;
mod schema;
mod validate;
mod variables;
