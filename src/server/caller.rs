//! The other end of a connection.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;

use super::Shared;
use super::progress::Progress;
use crate::config::{ClientCa, Config};

/// A connection that requests come over.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) caller: Caller,
    /// True if it is over the limit of connections. Its one request is answered by the rule for `overloaded`.
    pub(super) over_limit: bool,
    pub(super) progress: Arc<Progress>,
    pub(super) shared: Arc<Shared>,
}

/// The other end of a connection, as far as the connection tells.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// `None` through a Unix socket.
    pub(super) address: Option<IpAddr>,
    /// The client certificate of the TLS handshake.
    pub(super) certificate: Option<Arc<ClientCertificate>>,
    /// True if the connection is under TLS.
    pub(super) is_encrypted: bool,
    /// True if it sends plain HTTP although TLS is configured.
    pub(super) is_plaintext: bool,
}

/// A certificate that a client has proved to be its own.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// The authorities that it was verified against when the connection was made.
    verified_by: Arc<ClientCa>,
    is_good: bool,
}

impl Caller {
    /// Returns true if the connection was made before TLS was configured, and could go on in plaintext.
    pub(super) fn predates_tls(&self, config: &Config) -> bool {
        !self.is_encrypted && self.address.is_some() && config.tls.server.is_some()
    }
}

impl ClientCertificate {
    /// Verifies a certificate and its intermediates.
    pub(super) fn verify(chain: &[CertificateDer<'_>], by: &Arc<ClientCa>) -> Self {
        let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let is_good = by.judge(&chain).is_ok();
        Self { chain, verified_by: by.clone(), is_good }
    }

    /// Returns true if it is good by the authorities of today, which may be others than when the connection was made.
    pub(super) fn is_good(&self, by: &Arc<ClientCa>) -> bool {
        if Arc::ptr_eq(&self.verified_by, by) || self.verified_by == *by {
            self.is_good
        } else {
            by.judge(&self.chain).is_ok()
        }
    }
}
