//! noded: the daemon of a host. It serves gRPC, reserves ports, probes agents and forwards their
//! output; its spawner and one step per instance start, supervise and stop the agents.

pub mod ledger;
pub mod msg;
pub mod os;
pub mod ports;
pub mod probe;
pub mod spawner;
pub mod step;
pub mod supervisor;
