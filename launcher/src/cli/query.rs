//! `a2arun query`.

use std::time::Duration;

use clap::Args;
use http::{HeaderName, HeaderValue};

use crate::cli::options::{OutputArgs, TextError, duration};

/// Everything that `query` takes.
#[derive(Debug, Clone, Args)]
pub struct QueryArgs {
    /// A run (name, run id, or a unique prefix), RUN/AGENT[I], or an agent's http URL
    #[arg(value_name = "RUN|URL")]
    pub target: String,
    /// What to ask; `-`: standard input
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Ask this agent, or one of its copies; else the job's entry point
    #[arg(long, value_name = "AGENT[I]")]
    pub agent: Option<String>,
    /// Go on with this conversation
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Go on with this task, which wanted to know more
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// Give up after this long
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    pub timeout: Duration,
    /// Send this header along, once for each
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// Print what the agent sent, as it came
    #[arg(long)]
    pub raw: bool,
    /// Ask for the answer as a whole, also where the agent streams
    #[arg(long)]
    pub no_stream: bool,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `NAME: VALUE`. The value is kept out of debug output: it may be a key.
pub(crate) fn header(text: &str) -> Result<(HeaderName, HeaderValue), TextError> {
    // Not the text: it may be a key.
    let refuse = || TextError("it is not of the form NAME:VALUE".to_owned());
    let (name, value) = text.split_once(':').ok_or_else(refuse)?;
    let name: HeaderName = name.trim().parse().map_err(|_| refuse())?;
    let mut value: HeaderValue = value.trim().parse().map_err(|_| refuse())?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let (name, value) = header("Authorization: Bearer a:b").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer a:b"));
        assert!(!format!("{value:?}").contains("Bearer"));
        for bad in ["", "x", ": y", "a b: c", "x: \u{7}"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }
}
