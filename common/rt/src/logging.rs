//! Tracing for both programs: what a person needs to find a fault, on stderr or in a file.
//! Secrets are never put into fields; nothing here looks at them.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable with the filter, `LEVEL` or `TARGET=LEVEL`, comma-separated, as in
/// `info,noded::probe=debug` (`tracing_subscriber::filter::Targets`: no regular expressions, whose
/// engine would be a tenth of noded's memory).
pub const FILTER_VARIABLE: &str = "A2ARUN_LOG";

/// Where the lines go.
#[derive(Debug, Clone, Copy)]
pub enum Sink<'a> {
    /// Standard error.
    Stderr,
    /// Appended to a file, 0600.
    File(&'a Path),
}

/// Sets up tracing for the process. `filter` is the value of `A2ARUN_LOG`, `default` what counts
/// without one. A filter that cannot be read counts as absent and is told as the return value.
pub fn init(sink: Sink<'_>, filter: Option<&str>, default: &str) -> io::Result<Option<String>> {
    let fallback = || default.parse::<Targets>().map_err(io::Error::other);
    let (filter, complaint) = match filter.map(str::parse::<Targets>) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (fallback()?, Some(format!("{FILTER_VARIABLE} is not used: {error}"))),
        None => (fallback()?, None),
    };
    let registry = tracing_subscriber::registry().with(filter);
    match sink {
        Sink::Stderr => {
            let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
            registry.with(layer).try_init()
        }
        Sink::File(path) => {
            let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            let layer =
                tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(file));
            registry.with(layer).try_init()
        }
    }
    .map_err(io::Error::other)?;
    Ok(complaint)
}
