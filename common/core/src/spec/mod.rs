//! Job files: what they say ([`model`]), and, with the feature `spec`, how they are read.

pub mod model;
pub mod policy;
mod program;
mod resolve;
mod unlaunchable;

#[cfg(feature = "spec")]
mod agent;
#[cfg(feature = "spec")]
mod checks;
#[cfg(feature = "spec")]
mod env_file;
#[cfg(feature = "spec")]
mod environment;
#[cfg(feature = "spec")]
mod fields;
#[cfg(feature = "spec")]
mod fillings;
#[cfg(feature = "spec")]
mod load;
#[cfg(feature = "spec")]
mod probe;
#[cfg(feature = "spec")]
mod quantity;
#[cfg(feature = "spec")]
mod redact;
#[cfg(feature = "spec")]
pub mod render;
#[cfg(feature = "spec")]
mod schema;
#[cfg(feature = "spec")]
mod table;
#[cfg(feature = "spec")]
mod target;
#[cfg(feature = "spec")]
mod terms;
#[cfg(feature = "spec")]
mod topo;
#[cfg(feature = "spec")]
mod vars;
#[cfg(feature = "spec")]
mod words;
#[cfg(feature = "spec")]
mod yaml;

#[cfg(feature = "spec")]
pub use env_file::parse_env_file;
#[cfg(feature = "spec")]
pub use fields::{Field, FieldKind, SECTIONS, Section, Status};
#[cfg(feature = "spec")]
pub use load::{INPUT_BYTES_MAX, Loaded, load, load_bytes};
pub use model::*;
pub use policy::*;
pub use program::ProgramError;
#[cfg(feature = "spec")]
pub use schema::{SCHEMA_URL, schema};
pub use unlaunchable::Unlaunchable;
