//! TLS to agents outside of the job: their certificates are checked against the system's
//! authorities. Nothing of a2arun's own trust is used or shown to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Where distributions keep their authorities: Debian, Fedora, openSUSE, Alpine.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    #[error("no certificates of authorities are installed; looked for {}", BUNDLES.join(", "))]
    None,
    #[error("cannot read certificates from {}: {why}", path.display())]
    Read { path: PathBuf, why: String },
}

/// Reads the authorities: `SSL_CERT_FILE`, as other programs have it, else the system's.
pub(crate) fn client_config(cert_file: Option<&Path>) -> Result<Arc<ClientConfig>, RootsError> {
    let path = match cert_file {
        Some(path) => path,
        None => BUNDLES.iter().map(Path::new).find(|path| path.exists()).ok_or(RootsError::None)?,
    };
    let read = |why: String| RootsError::Read { path: path.to_owned(), why };
    let bytes = std::fs::read(path).map_err(|error| read(error.to_string()))?;
    let certs: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect();
    let mut roots = RootCertStore::empty();
    // A bundle may have one that is too old for us beside a hundred good ones.
    let (added, _) = roots.add_parsable_certificates(certs);
    if added == 0 {
        return Err(read("it has none".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| read(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
