//! Why there is no answer: what, where, how to mend.

use std::time::Duration;

use a2arun_core::a2a::AnswerError;
use a2arun_core::exit_code::LauncherCode;
use http::StatusCode;

use crate::a2a::http::HttpError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody is there.
    #[error("cannot reach {who}")]
    Unreachable { who: String, source: HttpError },
    /// The connection broke while it was being waited for.
    #[error("{who} broke off")]
    Broken { who: String, source: HttpError },
    /// It wants to know who asks.
    #[error("{who} wants to know who asks: {url} answered {status}")]
    Refused { who: String, url: String, status: StatusCode },
    /// It answers HTTP, but nothing that is asked.
    #[error("{who} is no agent that can be asked: {tried}")]
    NoWay { who: String, tried: String },
    /// Its card names nothing that we speak.
    #[error("the card of {who} offers {offers}, none of which can be asked from here")]
    NoDialect { who: String, offers: String },
    /// It said no, or something that cannot be understood.
    #[error("{who} at {url}")]
    Answer { who: String, url: String, source: AnswerError },
    /// An HTTP error without words that we know.
    #[error("{who} at {url} answered {status}{said}")]
    Status { who: String, url: String, status: StatusCode, said: String },
    /// It stopped talking without an answer.
    #[error("{who} at {url} ended its answer without having given one")]
    Empty { who: String, url: String },
    /// `--timeout` is over.
    #[error("{who} gave no answer within {}{doing}", crate::output::duration(*after))]
    Late { who: String, after: Duration, doing: String },
    /// Headers would go to a server that the person did not name.
    #[error("the card of {who} sends to {url} in plain text, and --header would be shown there")]
    HeaderElsewhere { who: String, url: String },
}

impl AskError {
    /// What the command ends with.
    pub(crate) fn exit_code(&self) -> LauncherCode {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => LauncherCode::HostUnreachable,
            Self::Refused { .. } | Self::HeaderElsewhere { .. } => LauncherCode::Refused,
            Self::NoWay { .. }
            | Self::NoDialect { .. }
            | Self::Answer { .. }
            | Self::Status { .. }
            | Self::Empty { .. } => LauncherCode::AgentFailed,
            Self::Late { .. } => LauncherCode::TimedOut,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { source: HttpError::Tls { .. }, .. } => {
                Some("SSL_CERT_FILE names a file with the authority's certificate".to_owned())
            }
            Self::Unreachable { source: HttpError::Redirect { to, .. }, .. } => {
                Some(format!("ask {to}"))
            }
            Self::Refused { .. } => {
                Some("--header 'Authorization: Bearer …' shows who asks".to_owned())
            }
            Self::Late { .. } => Some("--timeout 30m waits longer".to_owned()),
            Self::NoWay { .. } => Some(
                "an agent serves a card, or POST /query; a2arun card shows the card".to_owned(),
            ),
            Self::HeaderElsewhere { url, .. } => Some(format!("ask {url} itself")),
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::NoDialect { .. }
            | Self::Answer { .. }
            | Self::Status { .. }
            | Self::Empty { .. } => None,
        }
    }
}
