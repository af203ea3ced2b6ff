//! The pure core of a2arun: what a job is, how it is planned, and how it moves.
//!
//! Nothing here does I/O, reads a clock or knows tokio. Text and `now` come in as arguments,
//! decisions go out as data. The feature `spec` adds reading job files.

pub mod a2a;
pub mod backoff;
pub mod card;
pub mod exit_code;
pub mod hostfile;
pub mod ids;
pub mod launch;
pub mod lines;
pub mod machine;
pub mod mask;
pub mod outcome;
pub mod peers;
pub mod plan;
pub mod record;
pub mod result;
pub mod seen;
pub mod source;
pub mod spec;
pub mod status;
pub mod topology;
