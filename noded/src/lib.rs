//! noded: the daemon of a host. It serves gRPC, reserves ports, probes agents and forwards their
//! output; its spawner and one step per instance start, supervise and stop the agents.

pub mod cli;
pub mod facts;
pub mod ledger;
pub mod logs;
pub mod msg;
pub mod os;
pub mod peers;
pub mod ports;
pub mod probe;
pub mod serve;
pub mod service;
pub mod spawner;
pub mod step;
pub mod supervisor;

/// An error with its causes, for a log line or a message to people.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
