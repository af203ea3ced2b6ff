//! Names, folders, and errors found in their chains.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use rustls::{CertificateError, OtherError};

use super::name::role_of;
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
    let inner = rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(
        refusal_in.clone(),
    ))));
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
