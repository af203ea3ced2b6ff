//! What both sides set rustls up with, and the head's look at a host's certificate.

use std::fs;
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

use crate::tls::name::{own_name, role_of};
use crate::tls::{Holder, Refusal, Role, TlsError, TrustDir, TrustDomain};

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
pub(super) struct Authority {
    cert: CertificateDer<'static>,
    pub(super) domain: TrustDomain,
}

impl Authority {
    pub(super) fn load(dir: &TrustDir) -> Result<Self, TlsError> {
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
/// Roles are checked per call with `peer_role`.
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
/// another authority is refused in the handshake; `refusal` finds out why.
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
