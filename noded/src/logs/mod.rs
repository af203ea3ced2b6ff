//! Output on its way to heads: cursors over the files that steps write. A thread of its own with
//! a runtime of its own, so that neither a slow disk nor a flood of lines is felt by control.

mod reader;
mod tail;

pub use reader::{Chunk, Request, Start, Stream, read};
