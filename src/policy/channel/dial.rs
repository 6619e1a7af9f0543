//! From an address to a connection that can carry calls: TCP, TLS where the URL says so, HTTP/2.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::body::Body;
use tracing::warn;

use super::frames::{Frames, Peer};
use crate::config;

/// How connections are made.
pub(super) struct Dial {
    settings: config::Channel,
    /// With the host that the certificate must be for.
    tls: Option<(TlsConnector, String)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no connection within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    Tcp(#[source] io::Error),
    #[error("no certificate can be for {0:?}")]
    Name(String),
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("HTTP/2: {0}")]
    Http2(#[source] hyper::Error),
    #[error("{0}")]
    Peer(String),
}

impl Error {
    /// Whether it took no time and little work: nothing listens there, or what does hangs up or speaks otherwise. A TLS
    /// handshake that fails for what is in it is neither.
    pub(super) fn is_prompt(&self) -> bool {
        match self {
            Self::Late(_) | Self::Name(_) => false,
            Self::Tls(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Tcp(_) | Self::Http2(_) | Self::Peer(_) => true,
        }
    }
}

/// A connection over which the peer has begun to speak HTTP/2.
pub(super) struct Line {
    /// Takes calls.
    pub(super) calls: SendRequest<Body>,
    /// Must be awaited for calls to move.
    pub(super) connection: Connection,
}

/// What moves the calls of a connection. Those in flight end well even when it is dropped.
pub(super) struct Connection {
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    peer: watch::Receiver<Peer>,
}

impl Dial {
    /// Over TLS to a host, or not.
    pub(super) fn new(settings: config::Channel, tls: Option<(&str, RootCertStore)>) -> Self {
        let tls = tls.map(|(host, roots)| {
            let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("ring has ciphers for the default versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec()];
            (TlsConnector::from(Arc::new(config)), host.to_owned())
        });
        Self { settings, tls }
    }

    /// Connects. The time that this may take covers the peer's SETTINGS: hyper's own handshake does not wait for them, and
    /// a socket that accepts and says nothing would count as a policy.
    pub(super) async fn connect(&self, address: SocketAddr) -> Result<Line, Error> {
        let limit = self.settings.connect_timeout;
        tokio::time::timeout(limit, self.connect_in_any_time(address)).await.map_err(|_| Error::Late(limit))?
    }

    async fn connect_in_any_time(&self, address: SocketAddr) -> Result<Line, Error> {
        let stream = TcpStream::connect(address).await.map_err(Error::Tcp)?;
        // Without it a call could wait for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(Error::Tcp)?;
        match &self.tls {
            Some((tls, host)) => {
                let name = ServerName::try_from(host.clone()).map_err(|_| Error::Name(host.clone()))?;
                self.http2(tls.connect(name, stream).await.map_err(Error::Tls)?).await
            }
            None => self.http2(stream).await,
        }
    }

    async fn http2(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Line, Error> {
        let (stream, mut peer) = Frames::new(stream);
        let (calls, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(self.settings.keep_alive)
            .keep_alive_timeout(self.settings.keep_alive_timeout)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Error::Http2)?;
        match peer.wait_for(|peer| *peer != Peer::Silent).await.as_deref() {
            Ok(Peer::Gone(why)) => return Err(Error::Peer(why.clone())),
            Ok(_) => {}
            Err(_) => return Err(Error::Peer("the connection was lost".to_owned())),
        }
        // What its end was is known from the peer.
        let driver = Box::pin(async { drop(driver.await) });
        Ok(Line { calls, connection: Connection { driver, peer } })
    }
}

impl Connection {
    /// Lasts as long as the connection takes new calls; says why it does not. Calls in flight then go on.
    pub(super) async fn ended(self) -> String {
        let Self { mut driver, mut peer } = self;
        let ended = tokio::select! {
            () = &mut driver => true,
            _ = peer.wait_for(|peer| matches!(peer, Peer::Leaving | Peer::Gone(_))) => false,
        };
        if !ended {
            let mut peer = peer.clone();
            tokio::spawn(async move {
                // hyper gives back the calls that wait when it is looked after; a GOAWAY does not wake it.
                tokio::select! {
                    () = &mut driver => return,
                    _ = peer.changed() => {}
                }
                driver.await;
            });
        }
        match &*peer.borrow() {
            Peer::Gone(why) => why.clone(),
            Peer::Leaving => "it takes no new calls (GOAWAY)".to_owned(),
            Peer::Silent | Peer::Ready => "it answers no pings, or the connection broke".to_owned(),
        }
    }
}

/// The roots that the system trusts.
pub(super) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        warn!(%error, "some of the system's root certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}
