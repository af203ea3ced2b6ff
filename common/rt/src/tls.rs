//! TLS 1.3 between our own programs, with certificates on both sides (DESIGN §9).
//!
//! Names are URIs in the certificates' subject alternative names, never host names of the DNS:
//!
//! ```text
//! a2arun://<trust>/ca            the certificate authority of a trust domain
//! a2arun://<trust>/host/<NAME>   a host's noded; NAME as the head writes it
//! a2arun://<trust>/head          a head: may launch
//! a2arun://<trust>/viewer/<NAME> may read
//! ```

use std::error::Error as StdError;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;

use crate::paths::absolute;

/// ALPN of the control connection: gRPC over HTTP/2.
pub const ALPN_CONTROL: &[u8] = b"h2";
/// ALPN of the bulk connection: HTTP/2 as well, but told apart before the first byte.
pub const ALPN_BULK: &[u8] = b"a2arun-bulk/1";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Launch, stop, events.
    Control,
    /// Output and standard input.
    Bulk,
}

impl Purpose {
    /// The protocol name that is negotiated.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Control => ALPN_CONTROL,
            Self::Bulk => ALPN_BULK,
        }
    }
}

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

/// The random name of a certificate authority; part of every name it signs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

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

struct Authority {
    cert: CertificateDer<'static>,
    domain: TrustDomain,
}

impl Authority {
    fn load(dir: &TrustDir) -> Result<Self, TlsError> {
        let path = dir.ca_cert();
        let cert = read_certs(&path)?.remove(0);
        let what = || path.display().to_string();
        let (domain, _) = own_name(&cert).ok_or_else(|| TlsError::NoName { what: what() })?;
        Ok(Self { cert, domain })
    }

    fn roots(&self, dir: &TrustDir) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.cert.clone())
            .map_err(|source| TlsError::Unusable { path: dir.ca_cert(), source })?;
        Ok(Arc::new(roots))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What noded listens with: TLS 1.3 only, a client certificate of our authority demanded.
/// Roles are checked per call with [`peer_role`].
pub fn server_config(dir: &TrustDir) -> Result<(Arc<ServerConfig>, TrustDomain), TlsError> {
    let authority = Authority::load(dir)?;
    let unusable = |source| TlsError::Unusable { path: dir.path().to_owned(), source };
    let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(dir)?, provider())
        .build()
        .map_err(|error| unusable(rustls::Error::General(error.to_string())))?;
    let certs = own_certs(dir, Holder::Host, &authority.domain)?;
    let key = read_key(&dir.key(Holder::Host))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certs, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN_CONTROL.to_vec(), ALPN_BULK.to_vec()];
    // Each session has two connections for its whole life: resuming saves nothing, and a resumed
    // one would not show its certificate's present validity.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((Arc::new(config), authority.domain))
}

/// What the head dials `host_name` with. A host that shows another name or a certificate of
/// another authority is refused in the handshake; [`refusal`] finds out why.
pub fn client_config(
    dir: &TrustDir,
    host_name: &str,
    purpose: Purpose,
) -> Result<Arc<ClientConfig>, TlsError> {
    Credentials::load(dir)?.client_config(host_name, purpose)
}

/// The head's side, read once and used for any number of hosts.
#[derive(Debug)]
pub struct Credentials {
    dir: PathBuf,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    domain: TrustDomain,
    certs: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Reads `ca.pem`, `head.pem` and `head.key`.
    pub fn load(dir: &TrustDir) -> Result<Self, TlsError> {
        let authority = Authority::load(dir)?;
        Ok(Self {
            dir: dir.path().to_owned(),
            provider: provider(),
            roots: authority.roots(dir)?,
            certs: own_certs(dir, Holder::Head, &authority.domain)?,
            key: read_key(&dir.key(Holder::Head))?,
            domain: authority.domain,
        })
    }

    /// The trust domain.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// See [`client_config`].
    pub fn client_config(
        &self,
        host_name: &str,
        purpose: Purpose,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let unusable = |source| TlsError::Unusable { path: self.dir.clone(), source };
        let verifier = HostVerifier {
            roots: self.roots.clone(),
            provider: self.provider.clone(),
            domain: self.domain.clone(),
            dialled: host_name.to_owned(),
        };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.certs.clone(), self.key.clone_key())
            .map_err(unusable)?;
        config.alpn_protocols = vec![purpose.alpn().to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }
}

/// The name given to rustls as the server's: the verifier looks at the URI name instead, and
/// nothing is sent, since SNI is off.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("noded").expect("a constant that is a valid DNS name")
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

fn role_of(path: &str) -> Option<Role> {
    let (role, name) = path.split_once('/').unwrap_or((path, ""));
    match role {
        "head" => Some(Role::Head),
        "viewer" if !name.is_empty() => Some(Role::Viewer(name.to_owned())),
        "host" if !name.is_empty() => Some(Role::Host(name.to_owned())),
        _ => None,
    }
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

/// Trust domain and rest of the first name of ours in a certificate.
fn own_name(cert: &CertificateDer<'_>) -> Option<(TrustDomain, String)> {
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

fn own_certs(
    dir: &TrustDir,
    who: Holder,
    ours: &TrustDomain,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = dir.cert(who);
    let certs = read_certs(&path)?;
    let what = path.display().to_string();
    match certs.first().and_then(own_name) {
        None => Err(TlsError::NoName { what }),
        Some((theirs, _)) if theirs != *ours => {
            Err(TlsError::Foreign { what, ours: ours.clone(), theirs })
        }
        Some(_) => Ok(certs),
    }
}

/// At least one certificate.
fn read_certs(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    let pem = |source| TlsError::Pem { path: path.to_owned(), what: "certificate", source };
    let certs: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(pem)?;
    if certs.is_empty() {
        return Err(pem(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(certs)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let read = |source| TlsError::Read { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(read)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TlsError::OpenKey { path: path.to_owned(), mode });
    }
    let text = fs::read(path).map_err(read)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        what: "private key",
        source,
    })
}

#[derive(Debug)]
struct HostVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    domain: TrustDomain,
    dialled: String,
}

impl HostVerifier {
    fn check(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let dialled = || self.dialled.clone();
        let name = own_name(cert);
        let invalid = |error: rustls::Error| Refusal::Invalid {
            dialled: dialled(),
            why: match error {
                rustls::Error::InvalidCertificate(why) => why.to_string(),
                other => other.to_string(),
            },
        };
        let parsed = ParsedCertificate::try_from(cert).map_err(invalid)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )
        .map_err(|error| match error {
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => Refusal::ForeignCa {
                dialled: dialled(),
                ours: self.domain.clone(),
                name: name.as_ref().map(|(_, path)| path.clone()).unwrap_or_default(),
                theirs: name.as_ref().map(|(domain, _)| domain.clone()),
            },
            other => invalid(other),
        })?;
        let presented = match name {
            Some((domain, path)) if domain == self.domain => match role_of(&path) {
                Some(Role::Host(host)) if host == self.dialled => return Ok(()),
                Some(role) => role.to_string(),
                None => path,
            },
            Some((domain, path)) => format!("a2arun://{domain}/{path}"),
            None => "nobody: it has no name of ours".to_owned(),
        };
        Err(Refusal::OtherHost { dialled: dialled(), presented })
    }
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.check(cert, intermediates, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(refusal) => Err(rustls::Error::InvalidCertificate(CertificateError::Other(
                OtherError(Arc::new(refusal)),
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // TLS 1.2 is not among the versions that are offered.
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_from_names() {
        assert_eq!(role_of("head"), Some(Role::Head));
        assert_eq!(role_of("head/alice"), Some(Role::Head));
        assert_eq!(role_of("host/n1"), Some(Role::Host("n1".into())));
        assert_eq!(role_of("host/::1"), Some(Role::Host("::1".into())));
        assert_eq!(role_of("viewer/bob"), Some(Role::Viewer("bob".into())));
        for bad in ["", "ca", "host", "host/", "viewer", "root", "heads"] {
            assert_eq!(role_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_trust_folder_follows_xdg() {
        let find = |pairs: &'static [(&str, &str)]| {
            TrustDir::default_path(|name| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
            })
        };
        assert_eq!(find(&[("HOME", "/h")]), Some("/h/.config/a2arun/trust".into()));
        let both = find(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]);
        assert_eq!(both, Some("/x/a2arun/trust".into()));
        assert_eq!(find(&[("HOME", "")]), None);
    }

    #[test]
    fn refusals_are_found_through_io_errors() {
        let refusal_in = Refusal::OtherHost { dialled: "n1".into(), presented: "host n2".into() };
        let inner = rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(
            Arc::new(refusal_in.clone()),
        )));
        let outer = io::Error::new(io::ErrorKind::InvalidData, inner);
        assert_eq!(refusal(&outer), Some(refusal_in));
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let outer = io::Error::other(io::Error::other(alert));
        assert_eq!(refused_by_peer(&outer).as_deref(), Some("CertificateRequired"));
        assert_eq!(refusal(&outer), None);
    }

    #[test]
    fn a_missing_folder_names_the_file() {
        let error = server_config(&TrustDir::new("/nonexistent")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nonexistent/ca.pem");
    }
}
