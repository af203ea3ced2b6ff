//! The launcher `a2arun`: reads a job, plans it, reaches the hosts, holds the job to its end.
//!
//! ```text
//! cli ─▶ cmd ─▶ head (one task owns the job) ◀─ events ─ session (one per host) ◀─ gRPC ─▶ noded
//!                 │                                └─ target (how a host is reached)
//!                 ├─▶ output (all printing)
//!                 ├─▶ registry (the run's folder)
//!                 └─▶ a2a (asking agents)
//! ```

mod a2a;
pub mod cli;
pub mod cmd;
mod head;
mod output;
mod registry;
mod session;
mod target;

pub use output::{print, say};
