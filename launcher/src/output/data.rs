//! Results of commands, on stdout.

use std::io::{self, Write};

use serde::Serialize;

/// A text as it is. A reader that went away has what it wanted (`a2arun plan … | head -1`).
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn print_line(text: &str) -> io::Result<()> {
    match write_line(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn write_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// A piece of a text that is not over: no line break is put behind it.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn print_piece(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// One document, indented.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    print_line(&text)
}

/// Talk of commands that run no job, on stderr.
pub fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    // A stderr that is gone has nobody to tell.
    let _ = stderr.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = stderr.write_all(b"\n");
    }
}

/// A text on stdout that nobody needs to have read: help, the version.
pub fn print(text: &str) {
    // `a2arun --help | head` is no failure.
    let _ = print_line(text);
}
