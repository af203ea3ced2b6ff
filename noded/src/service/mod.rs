//! gRPC: who may talk, and what is said, in wire types. Handlers decode, send one message to the
//! supervisor, wait, encode.

mod bulk;
mod conn;
mod control;
mod hello;
mod listen;
mod wire;

pub use bulk::{BulkSettings, spawn_bulk_thread};
pub use conn::{Peer, Who};
pub use control::ControlService;
pub use listen::{Tls, serve_control, tcp_listener, unix_listener};
