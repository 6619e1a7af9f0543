//! TLS to the policy service.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use super::dial::Error;
use crate::config::{self, PolicyTls};

/// How connections become ones of TLS.
pub(super) struct Tls {
    connector: TlsConnector,
    /// Whom the certificate must be for.
    name: String,
}

impl Tls {
    /// To a host, as the configuration says.
    pub(super) fn new(host: &str, tls: &PolicyTls) -> Self {
        let roots = tls.ca.as_ref().map_or_else(|| Arc::new(system_roots()), |ca| ca.store.clone());
        Self::with(tls.server_name.as_deref().unwrap_or(host), roots, tls.identity.as_ref())
    }

    /// To a host whose certificate is from one of these.
    pub(super) fn trusting(host: &str, roots: RootCertStore) -> Self {
        Self::with(host, Arc::new(roots), None)
    }

    fn with(name: &str, roots: Arc<RootCertStore>, identity: Option<&config::Identity>) -> Self {
        let builder = ClientConfig::builder_with_provider(config::provider())
            .with_safe_default_protocol_versions()
            .expect("ring has ciphers for the default versions, 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(identity.shown()),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { connector: Arc::new(config).into(), name: name.to_owned() }
    }

    /// Shakes hands.
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let name = ServerName::try_from(self.name.clone()).map_err(|_| Error::Name(self.name.clone()))?;
        self.connector.connect(name, stream).await.map_err(Error::Tls)
    }
}

/// The roots that the system trusts.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        warn!(%error, "some of the system's root certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}
