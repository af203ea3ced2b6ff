//! The head: one task that owns a job. Events come in from sessions, signals, other shells and
//! the clock; they are folded by the machines of `a2arun_core::machine`; effects go out as
//! commands to sessions. It never waits for a host, a terminal or a disk while it holds a job.

mod actor;
mod asking;
mod batches;
mod cards;
mod edges;
mod edges_again;
mod effects;
mod finish;
mod hosts;
mod instances;
mod job;
mod notes;
mod peers;
mod retry;
mod show;
mod signals;
mod stops;

pub(crate) use actor::run;
pub(crate) use finish::{Drained, Outcome};
pub(crate) use job::{Ask, Elsewhere, Io, Job};
pub(crate) use signals::{Signals, listen};
