//! Async and system glue that both `a2arun` and `noded` need, and nothing that only one needs:
//! where state lives, TLS between our own programs, files written whole, tracing set up.

pub mod files;
pub mod logging;
pub mod paths;
pub mod tls;
