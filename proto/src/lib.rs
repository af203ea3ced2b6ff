//! The wire between `a2arun` and `noded`: generated messages, and their conversions to and from
//! the types of `a2arun-core`. Wire types are named in this crate, in noded's `service` and in
//! the launcher's `session`, and nowhere else; A2A's, with which agents are asked, in `a2a::grpc`.

pub mod convert;

/// The version of the conversation that `Attach` names. It rises with every message that one side
/// relies on: 2 has peers, the proof of edges, and what was seen of an agent.
pub const PROTOCOL_VERSION: u32 = 2;

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

/// Generated from `proto/a2a/a2a.proto`: what A2A 1.0 over gRPC is asked with.
#[expect(clippy::allow_attributes_without_reason, reason = "generated code")]
pub mod a2a {
    tonic::include_proto!("lf.a2a.v1");
}
