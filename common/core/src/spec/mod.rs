//! Job files: what they say ([`model`]), and, with the feature `spec`, how they are read.

pub mod model;
mod program;
mod resolve;

#[cfg(feature = "spec")]
mod agent;
#[cfg(feature = "spec")]
mod environment;
#[cfg(feature = "spec")]
mod load;
#[cfg(feature = "spec")]
pub mod render;
#[cfg(feature = "spec")]
mod table;
#[cfg(feature = "spec")]
mod topo;
#[cfg(feature = "spec")]
mod vars;
#[cfg(feature = "spec")]
mod words;
#[cfg(feature = "spec")]
mod yaml;

#[cfg(feature = "spec")]
pub use load::{INPUT_BYTES_MAX, Loaded, load, load_bytes};
pub use model::*;
pub use program::ProgramError;
