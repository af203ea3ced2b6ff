//! The folder with a side's certificates and keys.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::paths::absolute;
use crate::tls::config::Authority;
use crate::tls::{TlsError, TrustDomain};

/// A folder with the certificates and keys of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustDir {
    dir: PathBuf,
}

impl TrustDir {
    /// The folder at `dir`; nothing is read.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// `$XDG_CONFIG_HOME/a2arun/trust`, else `$HOME/.config/a2arun/trust`, where either is set.
    pub fn default_path(lookup: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        absolute(&lookup, "XDG_CONFIG_HOME")
            .or_else(|| absolute(&lookup, "HOME").map(|home| home.join(".config")))
            .map(|config| config.join("a2arun/trust"))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The authority's certificate; on every machine.
    pub fn ca_cert(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The authority's key; only where `trust init` ran.
    pub fn ca_key(&self) -> PathBuf {
        self.dir.join("ca.key")
    }

    /// The certificate of `head` or `host`.
    pub fn cert(&self, who: Holder) -> PathBuf {
        self.dir.join(format!("{}.pem", who.stem()))
    }

    /// The key of `head` or `host`.
    pub fn key(&self, who: Holder) -> PathBuf {
        self.dir.join(format!("{}.key", who.stem()))
    }

    /// The trust domain of `ca.pem`.
    pub fn domain(&self) -> Result<TrustDomain, TlsError> {
        Ok(Authority::load(self)?.domain)
    }
}

/// Whose certificate and key of a trust folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// `head.pem`, `head.key`: a head's or viewer's.
    Head,
    /// `host.pem`, `host.key`: a noded's.
    Host,
}

impl Holder {
    fn stem(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Host => "host",
        }
    }
}
