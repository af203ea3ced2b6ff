//! What goes wrong with certificates, and how it is found in the errors of the layers above.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use rustls::{CertificateError, OtherError};

use crate::tls::TrustDomain;

/// Why our own side cannot be set up, or a certificate's name cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the trust folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the trust folder is not PEM, or lacks what it should hold.
    #[error("{path} is not a PEM file with a {what}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
        /// What is wrong.
        source: rustls_pki_types::pem::Error,
    },
    /// A private key that others can read.
    #[error("{path} can be read by others (mode {mode:04o}); `chmod 600` it")]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A certificate without a name of ours.
    #[error("{what} has no name of the form a2arun://TRUST/…")]
    NoName {
        /// Which certificate.
        what: String,
    },
    /// A certificate of another trust domain.
    #[error("{what} is of trust domain {theirs}, not {ours}")]
    Foreign {
        /// Which certificate.
        what: String,
        /// Our trust domain.
        ours: TrustDomain,
        /// Its trust domain.
        theirs: TrustDomain,
    },
    /// The certificate's name says a role that is not known here.
    #[error("the peer's certificate has the unknown role `{role}`")]
    UnknownRole {
        /// The role.
        role: String,
    },
    /// The peer showed no certificate.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// rustls refuses the certificate and key.
    #[error("cannot use the certificate and key in {path}")]
    Unusable {
        /// The trust folder.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Why we refuse a host's certificate: what a person needs to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Signed by another authority.
    #[error(
        "the certificate of {dialled} is signed by another authority{}; ours is trust domain {ours}",
        theirs.as_ref().map(|t| format!(" (trust domain {t}, name {name})")).unwrap_or_default()
    )]
    ForeignCa {
        /// The host that was dialled.
        dialled: String,
        /// Our trust domain.
        ours: TrustDomain,
        /// What the certificate says of itself.
        theirs: Option<TrustDomain>,
        /// The name it claims.
        name: String,
    },
    /// Signed by our authority, for something else.
    #[error("{dialled} answered with the certificate of {presented}")]
    OtherHost {
        /// The host that was dialled.
        dialled: String,
        /// Whose certificate it is: `host n2`, `a head`.
        presented: String,
    },
    /// Expired, not yet valid, malformed.
    #[error("the certificate of {dialled} is not valid: {why}")]
    Invalid {
        /// The host that was dialled.
        dialled: String,
        /// rustls' words.
        why: String,
    },
}
/// The reason why we refused the host's certificate, wherever it is in an error's chain.
pub fn refusal(error: &(dyn StdError + 'static)) -> Option<Refusal> {
    find(error, |rustls_error| match rustls_error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            other.downcast_ref::<Refusal>().cloned()
        }
        _ => None,
    })
}

/// Whether the chain has the peer's word that it refused us: an alert, e.g. about our certificate.
pub fn refused_by_peer(error: &(dyn StdError + 'static)) -> Option<String> {
    find(error, |rustls_error| match rustls_error {
        rustls::Error::AlertReceived(alert) => Some(format!("{alert:?}")),
        _ => None,
    })
}

fn find<T>(
    error: &(dyn StdError + 'static),
    look: impl Fn(&rustls::Error) -> Option<T>,
) -> Option<T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>().and_then(&look) {
            return Some(found);
        }
        // `io::Error::source` skips the error that it was made of.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
