//! One host, as it was written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::HostName;
use crate::source::Span;

/// A host of a hostfile or of `--host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// Its name, never rewritten.
    pub name: HostName,
    /// Slots that somebody wrote down, at least 1; `None`: a bare host, which never refuses.
    pub slots: Option<u32>,
    /// `max_slots=`: the bound even with `--oversubscribe`.
    pub max_slots: Option<u32>,
    /// `addr=`: the address that goes into URLs.
    pub addr: Option<HostName>,
    /// `noded_port=`: an installed noded's TCP port.
    pub noded_port: Option<u16>,
    /// `user=`: for SSH.
    pub user: Option<String>,
    /// `port=`: for SSH.
    pub ssh_port: Option<u16>,
    /// `labels=a,b`.
    pub labels: Vec<String>,
    /// `groups=a,b`.
    pub groups: Vec<String>,
    /// `gpus=`.
    pub gpus: Option<u32>,
    /// `ports=A-B`: where `auto` ports of this host come from.
    pub ports: Option<PortRange>,
    /// Where the name stands; of the first line where there are several.
    pub span: Span,
}

impl HostEntry {
    /// A bare host.
    pub fn bare(name: HostName) -> Self {
        Self {
            name,
            slots: None,
            max_slots: None,
            addr: None,
            noded_port: None,
            user: None,
            ssh_port: None,
            labels: Vec::new(),
            groups: Vec::new(),
            gpus: None,
            ports: None,
            span: Span::default(),
        }
    }
}

/// `A-B`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The first port, at least 1.
    pub first: u16,
    /// The last port, at least `first`.
    pub last: u16,
}

/// Why a text is no port range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no port range; write FIRST-LAST with 1 ≤ FIRST ≤ LAST ≤ 65535")]
pub struct PortRangeError {
    /// What was written.
    pub text: String,
}

impl FromStr for PortRange {
    type Err = PortRangeError;
    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err(PortRangeError { text: text.escape_debug().to_string() }),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}
