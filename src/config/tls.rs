//! TLS on both sides: what hookgate shows, and whom it believes.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::certificates::Certificates;
use super::client_ca::ClientCa;
use super::identity::{Identity, provider};

/// TLS for those who post webhooks.
#[derive(Clone)]
pub struct ServerTls {
    /// What they are shown.
    pub identity: Identity,
    /// Whose certificates they must show, if any.
    pub client_ca: Option<Arc<ClientCa>>,
    ready: Arc<ServerConfig>,
}

/// TLS to the policy service.
#[derive(Clone, Default, PartialEq)]
pub struct PolicyTls {
    /// The only authorities that are trusted; without them those of the system are.
    pub ca: Option<Roots>,
    /// What the policy is shown, if it asks.
    pub identity: Option<Identity>,
    /// The name that its certificate must have; without it the URL's host.
    pub server_name: Option<String>,
}

/// Authorities that are trusted.
#[derive(Clone)]
pub struct Roots {
    /// Their own certificates.
    pub certificates: Certificates,
    pub(crate) store: Arc<RootCertStore>,
}

impl ServerTls {
    /// TLS 1.2 and 1.3, and HTTP/1.1 under it.
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

    /// What makes a connection one of TLS.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.ready.clone().into()
    }
}

impl Roots {
    pub(super) fn new(certificates: Certificates) -> Result<Self, String> {
        let store = Arc::new(certificates.roots()?);
        Ok(Self { certificates, store })
    }
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

impl fmt::Debug for PolicyTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca, identity, server_name } = self;
        let ca = ca.as_ref().map(|ca| &ca.certificates);
        let mut show = f.debug_struct("PolicyTls");
        show.field("ca", &ca).field("identity", identity).field("server_name", server_name).finish()
    }
}
