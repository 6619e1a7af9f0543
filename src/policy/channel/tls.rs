//! TLS to the policy service.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::ServerName;

use super::dial::Error;
use crate::config::{self, PolicyTls};

/// What is spoken under it.
const HTTP2: &[u8] = b"h2";

/// How connections become ones of TLS.
pub(super) struct Tls {
    connector: TlsConnector,
    /// Whom the certificate must be for.
    name: String,
}

impl Tls {
    /// To a host, as the configuration says.
    pub(super) fn new(host: &str, tls: &PolicyTls) -> Self {
        let roots = tls.ca.as_ref().map(|ca| ca.store.clone());
        let connector = config::connector(roots, tls.identity.as_ref(), HTTP2);
        Self { connector, name: tls.server_name.as_deref().unwrap_or(host).to_owned() }
    }

    /// To a host whose certificate is from one of these.
    pub(super) fn trusting(host: &str, roots: RootCertStore) -> Self {
        Self { connector: config::connector(Some(Arc::new(roots)), None, HTTP2), name: host.to_owned() }
    }

    /// Shakes hands.
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let name = ServerName::try_from(self.name.clone()).map_err(|_| Error::Name(self.name.clone()))?;
        self.connector.connect(name, stream).await.map_err(Error::Tls)
    }
}
