//! Why a host cannot be reached, and what the launcher ends with then.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_rt::paths::PathsError;
use a2arun_rt::tls::{Refusal, TlsError};

/// One host's cause; the host is named by whoever shows it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect to {address}")]
    Dial { address: String, source: io::Error },
    #[error("no answer from {address} within {} s", limit.as_secs())]
    Timeout { address: String, limit: Duration },
    #[error("{0}")]
    Refused(Refusal),
    #[error("the node refused our certificate ({0})")]
    RefusedUs(String),
    #[error("the node closed the connection, as one does that refuses our certificate ({0})")]
    ClosedOnUs(String),
    #[error("the node refused us: {0}")]
    Denied(String),
    #[error("the TLS handshake with {address} failed")]
    Handshake { address: String, source: io::Error },
    #[error("cannot use the trust folder")]
    Trust(#[from] TlsError),
    #[error("the connection to {address} broke while it was being set up: {why}")]
    Broken { address: String, why: String },
    #[error("cannot use the folder of noded's sockets")]
    Paths(#[from] PathsError),
    #[error("noded is neither beside {} nor in PATH", beside.display())]
    NoNoded { beside: PathBuf },
    #[error("cannot start {}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("noded did not start: {0}")]
    NotReady(String),
    #[error("noded's socket {} belongs to uid {uid}", path.display())]
    Stranger { path: PathBuf, uid: u32 },
    #[error("noded speaks another version of the protocol: {0}")]
    Version(String),
    #[error("noded refused the run: {0}")]
    NotAttached(String),
    #[error("{0}")]
    NoRun(String),
}

impl ConnectError {
    pub(crate) fn exit_code(&self) -> LauncherCode {
        match self {
            Self::Refused(_)
            | Self::RefusedUs(_)
            | Self::ClosedOnUs(_)
            | Self::Denied(_)
            | Self::Trust(_)
            | Self::Stranger { .. } => LauncherCode::Refused,
            Self::Dial { .. }
            | Self::Timeout { .. }
            | Self::Handshake { .. }
            | Self::Broken { .. }
            | Self::Paths(_)
            | Self::NoNoded { .. }
            | Self::Start { .. }
            | Self::NotReady(_)
            | Self::Version(_)
            | Self::NotAttached(_)
            | Self::NoRun(_) => LauncherCode::HostUnreachable,
        }
    }

    /// Whether there is no noded on this machine.
    pub(crate) fn is_local_and_gone(&self) -> bool {
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        match self {
            Self::Dial { address, source } => {
                address.starts_with('/') && gone.contains(&source.kind())
            }
            Self::Timeout { .. }
            | Self::Refused(_)
            | Self::RefusedUs(_)
            | Self::ClosedOnUs(_)
            | Self::Denied(_)
            | Self::Handshake { .. }
            | Self::Trust(_)
            | Self::Broken { .. }
            | Self::Paths(_)
            | Self::NoNoded { .. }
            | Self::Start { .. }
            | Self::NotReady(_)
            | Self::Stranger { .. }
            | Self::Version(_)
            | Self::NotAttached(_)
            | Self::NoRun(_) => false,
        }
    }

    /// Whether the same attempt may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Handshake { .. } | Self::ClosedOnUs(_) => true,
            Self::Dial { .. }
            | Self::Timeout { .. }
            | Self::Refused(_)
            | Self::RefusedUs(_)
            | Self::Denied(_)
            | Self::Trust(_)
            | Self::Paths(_)
            | Self::NoNoded { .. }
            | Self::Start { .. }
            | Self::NotReady(_)
            | Self::Stranger { .. }
            | Self::Version(_)
            | Self::NotAttached(_)
            | Self::NoRun(_) => false,
        }
    }

    /// What would help.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Version(_) => {
                Some("a2arun and every noded have to be of one version: install the older one anew")
            }
            Self::Trust(_) => Some("a2arun trust init makes the folder; --trust DIR names another"),
            Self::Refused(Refusal::OtherHost { .. }) => {
                Some("a2arun trust issue HOST makes the certificate for its name in the hostfile")
            }
            Self::Refused(Refusal::ForeignCa { .. }) | Self::RefusedUs(_) | Self::ClosedOnUs(_) => {
                Some("host and head need certificates of the same `a2arun trust init`")
            }
            Self::Dial { source, .. } if source.to_string().contains("lookup address") => {
                Some("`addr=` in the hostfile says where a host is that has no such name")
            }
            Self::Refused(Refusal::Invalid { .. })
            | Self::Denied(_)
            | Self::Dial { .. }
            | Self::Timeout { .. }
            | Self::Handshake { .. }
            | Self::Broken { .. }
            | Self::Paths(_)
            | Self::NoNoded { .. }
            | Self::Start { .. }
            | Self::NotReady(_)
            | Self::Stranger { .. }
            | Self::NotAttached(_)
            | Self::NoRun(_) => None,
        }
    }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Libraries repeat their cause in their own text now and then.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
