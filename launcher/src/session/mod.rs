//! A host's two connections: control and bulk. Wire messages are named here and nowhere else in
//! the launcher; the head sees [`Command`] and [`SessionEvent`].
//!
//! ```text
//!            Dial ok, Attached          stream ends
//! Dialling ─────────────────────▶ Up ───────────────▶ Waiting ── back-off ──▶ Dialling …
//!     │ first attempt fails                                (for ever; the head ends it)
//!     ▼
//!   Failed (final)
//! ```

mod bulk;
mod calls;
mod control;
mod head_service;
mod outbox;
mod stdin;
mod types;
mod wire;

pub(crate) use bulk::{Chunk, ChunkSink, LogEnd, LogRequest, Until, follow_logs, read_logs};
pub(crate) use calls::{describe, stop_run};
pub(crate) use control::{Session, run};
pub(crate) use head_service::{ask_status, ask_stop, serve as serve_head};
pub(crate) use stdin::{Forwarded, close as close_stdin, forward as forward_stdin};
pub(crate) use types::{
    Change, ChangeKind, Command, Contact, InstanceReport, MAIN_PORT, NodeFacts, PhaseReport,
    PortConflict, PortGiven, PortRequest, PortsReserved, ReachTarget, RefusedReason, SessionEvent,
    StreamKind,
};
