//! TLS: of the webhook listener, and of clients.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::warn;

use super::certificates::Certificates;
use super::client_ca::ClientCa;
use super::file;
use super::identity::{Identity, provider};

/// TLS for webhook clients.
#[derive(Clone)]
pub struct ServerTls {
    /// The certificate that they are shown.
    pub identity: Identity,
    /// The authority of client certificates; `None` asks for no certificate.
    pub client_ca: Option<Arc<ClientCa>>,
    ready: Arc<ServerConfig>,
}

/// Certificate authorities that are trusted.
#[derive(Clone)]
pub struct Roots {
    /// Their certificates.
    pub certificates: Certificates,
    pub(crate) store: Arc<RootCertStore>,
}

impl ServerTls {
    /// TLS 1.2 and 1.3, with ALPN `http/1.1`. The error is a sentence; no file is to blame for it.
    pub(super) fn new(identity: Identity, client_ca: Option<ClientCa>) -> Result<Self, String> {
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = match &client_ca {
            Some(ca) => builder.with_client_cert_verifier(ca.asks()),
            None => builder.with_no_client_auth(),
        };
        let mut ready = builder.with_cert_resolver(identity.shown());
        ready.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { identity, client_ca: client_ca.map(Arc::new), ready: Arc::new(ready) })
    }

    /// Returns the acceptor of TLS handshakes.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.ready.clone().into()
    }
}

impl Roots {
    /// Reads them from a file. The error is a sentence with the file's name: it cannot be read, holds no certificate in
    /// PEM, or one that cannot be trusted.
    pub(crate) fn open(file: &Path) -> Result<Self, String> {
        Self::new(Certificates::read(file, &file::text(file)?)?)
    }

    pub(super) fn new(certificates: Certificates) -> Result<Self, String> {
        let store = Arc::new(certificates.roots()?);
        Ok(Self { certificates, store })
    }
}

/// Returns a connector of TLS for clients with this ALPN protocol. Without roots the system's are trusted.
pub(crate) fn connector(roots: Option<Arc<RootCertStore>>, identity: Option<&Identity>, alpn: &[u8]) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for the default versions, 1.2 and 1.3")
        .with_root_certificates(roots.unwrap_or_else(|| Arc::new(system_roots())));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.shown()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config).into()
}

/// Returns the roots that the system trusts.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        warn!(%error, "some of the system's root certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && self.client_ca == other.client_ca
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, client_ca, .. } = self;
        f.debug_struct("ServerTls").field("identity", identity).field("client_ca", client_ca).finish_non_exhaustive()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.certificates.fmt(f)
    }
}
