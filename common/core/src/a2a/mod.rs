//! The part of the A2A protocol that asking an agent needs: what is sent in each dialect, what
//! comes back, piece by piece or whole. Connections are not known here.
//!
//! ```text
//! Card ─▶ Dialect::of(interface) ─▶ send(question) ─▶ Call        (the caller does the HTTP)
//! bytes ─▶ SseReader ─▶ data ─▶ read(value) ─▶ Event ─▶ Reply::take ─▶ Pieces
//! ```

mod answer;
mod dialect;
mod reply;
mod sse;

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod reply_tests;
#[cfg(test)]
mod sse_tests;

pub use answer::{
    AgentError, AnswerError, Artifact, Event, Message, Part, Task, TaskState, read, read_error,
};
pub use dialect::{Call, Delivery, Dialect, Method, Question};
pub use reply::{Piece, Reply};
pub use sse::{EVENT_BYTES_MAX, SseReader, TooLarge};
