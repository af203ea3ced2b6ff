//! Who calls whom, and who starts before whom: pure graph work on agents.
//!
//! Edges go from caller to callee and are kept between agents, not instances: a topology that
//! names an agent means all its instances, so a hub with 100,000 spokes stays one edge.

mod entry;
mod graph;
mod order;
mod sets;
mod wiring;

pub use entry::entry_point;
pub use graph::Graph;
pub use order::{CycleError, levels};
pub use sets::in_no_set;
pub use wiring::Wiring;
