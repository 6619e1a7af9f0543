//! TLS to the policy service.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::ServerName;

use super::dial::Error;
use crate::config::{self, PolicyTls, PolicyUrl};

/// The protocol that is negotiated (ALPN).
const HTTP2: &[u8] = b"h2";

/// The TLS client of a target.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    /// The name that the certificate must be for.
    name: String,
}

impl Tls {
    /// TLS by the settings, whose trusted roots `roots` replace; `None` if the URL has no TLS.
    pub(super) fn new(url: &PolicyUrl, settings: &PolicyTls, roots: Option<Arc<RootCertStore>>) -> Option<Self> {
        let (host, _) = url.host().filter(|_| url.is_tls())?;
        let roots = roots.or_else(|| Some(settings.roots.as_ref()?.store.0.clone()));
        let connector = config::connector(roots, settings.identity.as_ref(), HTTP2);
        Some(Self { connector, name: settings.server_name.as_deref().unwrap_or(host).to_owned() })
    }

    /// Makes the handshake.
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let name = ServerName::try_from(self.name.clone()).map_err(|_| Error::Name(self.name.clone()))?;
        self.connector.connect(name, stream).await.map_err(Error::Tls)
    }
}
