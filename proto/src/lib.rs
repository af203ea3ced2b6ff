//! The wire between `a2arun` and `noded`: generated messages, and their conversions to and from
//! the types of `a2arun-core`. Wire types are named in this crate, in noded's `service` and in
//! the launcher's `session`, and nowhere else.

pub mod convert;

/// The version of the conversation that `Attach` names.
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest message either side accepts, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Generated from `proto/a2arun/v1/*.proto`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("a2arun.v1");
}
