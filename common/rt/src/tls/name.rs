//! Names and roles in certificates.

use std::fmt;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use crate::tls::TlsError;

/// The random name of a certificate authority; part of every name it signs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(pub(super) String);

impl TrustDomain {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a certificate's holder may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Launch and stop.
    Head,
    /// Read. The name is the person's or program's.
    Viewer(String),
    /// A host's noded, by the host's name.
    Host(String),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("a head"),
            Self::Viewer(name) => write!(f, "viewer {name}"),
            Self::Host(name) => write!(f, "host {name}"),
        }
    }
}
/// The role in the certificate that a peer showed. The chain was verified in the handshake.
pub fn peer_role(certs: &[CertificateDer<'_>], ours: &TrustDomain) -> Result<Role, TlsError> {
    let cert = certs.first().ok_or(TlsError::NoCertificate)?;
    let what = "the peer's certificate";
    let (domain, path) =
        own_name(cert).ok_or_else(|| TlsError::NoName { what: what.to_owned() })?;
    if domain != *ours {
        let what = what.to_owned();
        return Err(TlsError::Foreign { what, ours: ours.clone(), theirs: domain });
    }
    role_of(&path).ok_or(TlsError::UnknownRole { role: path })
}

pub(super) fn role_of(path: &str) -> Option<Role> {
    let (role, name) = path.split_once('/').unwrap_or((path, ""));
    match role {
        "head" => Some(Role::Head),
        "viewer" if !name.is_empty() => Some(Role::Viewer(name.to_owned())),
        "host" if !name.is_empty() => Some(Role::Host(name.to_owned())),
        _ => None,
    }
}
/// Trust domain and rest of the first name of ours in a certificate.
pub(super) fn own_name(cert: &CertificateDer<'_>) -> Option<(TrustDomain, String)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(cert).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => {
            let (domain, path) = uri.strip_prefix("a2arun://")?.split_once('/')?;
            Some((TrustDomain(domain.to_owned()), path.to_owned()))
        }
        _ => None,
    })
}
