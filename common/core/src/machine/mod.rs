//! State machines: `advance(&State, Event, now) -> Result<(State, Vec<Effect>), IllegalTransition>`.
//!
//! Each is total over state × event. Effects are data, in order, and safe to perform twice.

mod illegal;
pub mod instance;
pub mod job;
mod job_advance;
pub mod lease;
pub mod mirror;
pub mod session;
pub mod tally;

pub use illegal::IllegalTransition;

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tables;
