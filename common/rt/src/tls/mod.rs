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
mod config;
mod error;
mod name;
mod trust;

pub use config::{
    ALPN_BULK, ALPN_CONTROL, Credentials, Purpose, client_config, server_config, server_name,
};
pub use error::{Refusal, TlsError, refusal, refused_by_peer};
pub use name::{Role, TrustDomain, peer_role};
pub use trust::{Holder, TrustDir};

#[cfg(test)]
mod tests;
