//! Who is at the other end of a connection.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;

use super::progress::Progress;
use crate::config::{ClientCa, Config};

/// Who is at the other end of a connection, and how far that is.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) caller: Caller,
    pub(super) progress: Arc<Progress>,
}

/// Who is at the other end of a connection, as far as the connection tells.
#[derive(Debug)]
pub(super) struct Caller {
    /// Its address; none through a Unix socket.
    pub(super) address: Option<IpAddr>,
    /// The certificate that it has shown, and proved to be its own.
    pub(super) certificate: Option<Arc<Shown>>,
    /// Whether the connection is under TLS.
    pub(super) encrypted: bool,
    /// Whether it sends plain HTTP where TLS is spoken.
    pub(super) in_the_clear: bool,
}

/// A caller's certificate.
#[derive(Debug)]
pub(super) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    /// By whom it was judged when the connection was made.
    by: Arc<ClientCa>,
    good: bool,
}

impl Caller {
    /// One that has shown nothing.
    pub(super) fn at(address: Option<IpAddr>) -> Self {
        Self { address, certificate: None, encrypted: false, in_the_clear: false }
    }

    /// Whether its connection is from the time before TLS was configured, and could go on in the clear.
    pub(super) fn is_behind(&self, config: &Config) -> bool {
        !self.encrypted && self.address.is_some() && config.tls.is_some()
    }
}

impl Shown {
    /// Judges a certificate, and those between it and its root.
    pub(super) fn judged(chain: &[CertificateDer<'_>], by: &Arc<ClientCa>) -> Self {
        let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let good = by.judge(&chain).is_ok();
        Self { chain, by: by.clone(), good }
    }

    /// Whether it is good by those who are trusted now, which may be others than when the connection was made.
    pub(super) fn is_good(&self, by: &Arc<ClientCa>) -> bool {
        if Arc::ptr_eq(&self.by, by) || self.by == *by { self.good } else { by.judge(&self.chain).is_ok() }
    }
}
