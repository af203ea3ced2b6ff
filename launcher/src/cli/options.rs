//! Option types that several verbs share, each read from its text once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// How results are written to stdout; talk goes to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// Nothing but agents' output and errors.
    Quiet,
}

/// Whether talk is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `--output`, `--color`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputArgs {
    /// How results are written: human, json, jsonl or quiet
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub output: OutputFormat,
    /// When to use colour: auto, always or never
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub color: ColorChoice,
}

impl OutputArgs {
    /// Whether stdout gets JSON.
    pub(crate) fn is_data(&self) -> bool {
        match self.output {
            OutputFormat::Json | OutputFormat::Jsonl => true,
            OutputFormat::Human | OutputFormat::Quiet => false,
        }
    }
}

/// Why an option's text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(pub String);

/// `JOB`, `JOB/AGENT`, `JOB/AGENT[I]`, `JOB/RANK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    /// Name, run id, or a unique prefix.
    pub job: String,
    /// An agent's id, or a rank.
    pub agent: Option<String>,
    /// Which copy.
    pub index: Option<u32>,
}

impl FromStr for JobRef {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        let (job, rest) = match text.split_once('/') {
            Some((job, rest)) => (job, Some(rest)),
            None => (text, None),
        };
        let refuse = || TextError(format!("`{text}` is not of the form JOB[/AGENT[I]]"));
        if job.is_empty() || rest == Some("") {
            return Err(refuse());
        }
        let (agent, index) = match rest.and_then(|rest| rest.split_once('[')) {
            Some((agent, index)) => {
                let index = index.strip_suffix(']').and_then(|i| i.parse().ok());
                (Some(agent.to_owned()), Some(index.ok_or_else(refuse)?))
            }
            None => (rest.map(str::to_owned), None),
        };
        Ok(Self { job: job.to_owned(), agent, index })
    }
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.job)?;
        if let Some(agent) = &self.agent {
            write!(f, "/{agent}")?;
        }
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        Ok(())
    }
}

/// A length of time: `90`, `1.5` (seconds), `500ms`, `30s`, `2h 30m`, `PT5M`. Not zero.
pub(crate) fn duration(text: &str) -> Result<Duration, TextError> {
    let refuse = || {
        TextError(format!("`{text}` is no length of time; write seconds, or e.g. 500ms, 30s, 2h"))
    };
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && (0.0..1e9).contains(s));
    let read = match seconds {
        Some(seconds) => Duration::from_secs_f64(seconds),
        None => {
            let signed: jiff::SignedDuration = text.parse().map_err(|_| refuse())?;
            Duration::try_from(signed).map_err(|_| refuse())?
        }
    };
    if read.is_zero() { Err(refuse()) } else { Ok(read) }
}

/// A number of instances, hosts' or jobs'; 0 is refused where it is used, with its place.
pub(crate) fn count(text: &str) -> Result<u32, TextError> {
    text.parse().map_err(|_| TextError(format!("`{text}` is no number of instances")))
}

/// `AGENT=N`.
pub(crate) fn scale(text: &str) -> Result<(String, u32), TextError> {
    let refuse = || TextError(format!("`{text}` is not of the form AGENT=N"));
    let (agent, count) = text.split_once('=').ok_or_else(refuse)?;
    let count = count.parse().map_err(|_| refuse())?;
    if agent.is_empty() {
        return Err(refuse());
    }
    Ok((agent.to_owned(), count))
}

/// `VAR` or `VAR=value`.
pub(crate) fn variable(text: &str) -> Result<(String, Option<String>), TextError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() || name.contains('\0') {
        return Err(TextError(format!("`{text}` is not of the form VAR or VAR=value")));
    }
    Ok((name.to_owned(), value))
}

/// `--export`: what agents get of the head's environment. Without it: all of it on this machine,
/// nothing of it on other hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Export {
    /// All of it on every host.
    All,
    /// Nothing but what other hosts have of their own: PATH, HOME, …
    None,
    /// As `none`, and these on every host.
    Names(Vec<String>),
}

impl FromStr for Export {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let refuse = |name: &str| {
            TextError(format!(
                "`{}` is neither `all`, `none` nor a name of a variable; write e.g. LANG,AWS_*",
                name.escape_debug()
            ))
        };
        let good = |name: &str| {
            let name = name.strip_suffix('*').unwrap_or(name);
            !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
        };
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        match names.iter().find(|name| !good(name)) {
            Some(bad) => Err(refuse(bad)),
            None => Ok(Self::Names(names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_unless_they_say_otherwise() {
        let check = |text, want: Option<u64>| {
            assert_eq!(duration(text).ok().map(|d| d.as_millis()), want.map(u128::from), "{text}");
        };
        check("90", Some(90_000));
        check("1.5", Some(1_500));
        check("500ms", Some(500));
        check("2h 30m", Some(9_000_000));
        check("PT5M", Some(300_000));
        check("0", None);
        check("-3", None);
        check("soon", None);
    }

    #[test]
    fn jobs_agents_and_copies_are_named() {
        let read = |text: &str| text.parse::<JobRef>();
        let full = read("web-1/worker[3]").unwrap();
        assert_eq!(
            (full.job.as_str(), full.agent.as_deref(), full.index),
            ("web-1", Some("worker"), Some(3))
        );
        assert_eq!(full.to_string(), "web-1/worker[3]");
        assert_eq!(read("web").unwrap().agent, None);
        for bad in ["", "/a", "a/", "a/b[x]", "a/b[1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exports_are_words_or_names() {
        let read = |text: &str| text.parse::<Export>();
        assert_eq!(read("all"), Ok(Export::All));
        assert_eq!(read("none"), Ok(Export::None));
        assert_eq!(read("A, AWS_*"), Ok(Export::Names(vec!["A".into(), "AWS_*".into()])));
        for bad in ["", "A,", "*", "A=b", "a b"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs() {
        assert_eq!(scale("w=3"), Ok(("w".into(), 3)));
        assert!(scale("w").is_err() && scale("=3").is_err() && scale("w=-1").is_err());
        assert_eq!(variable("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(variable("A"), Ok(("A".into(), None)));
        assert!(variable("=x").is_err());
    }
}
