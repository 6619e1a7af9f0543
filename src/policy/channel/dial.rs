//! Connecting: from an address over TCP, TLS if the URL has it, and HTTP/2 to a connection that carries calls.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::{PingPong, client};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

use super::call::CallSender;
use super::frame_reader::{Activity, PeerState};
use super::frames::Frames;
use super::goaway::Goaway;
use super::keepalive::{Keepalive, Pings};
use super::subchannel::Subchannel;
use super::tls::Tls;
use crate::config::Address;

/// Makes connections.
pub(super) struct Dialer {
    connect_timeout: Duration,
    tls: Option<Tls>,
}

/// Reasons why an attempt to connect fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no connection within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    Connect(#[source] io::Error),
    #[error("no certificate can be for {0:?}")]
    Name(String),
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("HTTP/2: {0}")]
    Http2(#[source] h2::Error),
    #[error("{why}")]
    Peer { why: String, tls: bool },
}

impl Error {
    /// Returns true if the attempt, which took so long, has failed in no time: nothing listens there, or the listener
    /// hangs up at once. Calls wait for another one.
    pub(super) fn is_fast(&self, took: Duration) -> bool {
        match self {
            // However long it took, as on a busy machine.
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
            Self::Tls(error) => took < FAST_FAILURE && error.kind() != io::ErrorKind::InvalidData,
            Self::Connect(_) | Self::Http2(_) => took < FAST_FAILURE,
            Self::Peer { tls, .. } => took < FAST_FAILURE && !tls,
            Self::Late(_) | Self::Name(_) => false,
        }
    }
}

/// Maximum duration of an attempt that fails in no time.
const FAST_FAILURE: Duration = Duration::from_millis(50);

/// HTTP/2 flow control windows in bytes, of a response and of a connection.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 5 << 20;

/// Maximum bytes of a response's headers, and of its trailers: a status message of 256 KiB, and 16 KiB for the rest.
const HEADER_LIST: u32 = (256 + 16) << 10;

/// A connection whose peer has sent its SETTINGS, before its endpoint is ready.
pub(super) struct Established {
    pub(super) sender: CallSender,
    pub(super) activity: Activity,
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    peer: watch::Receiver<PeerState>,
    pongs: PingPong,
}

/// A connection of a ready or draining endpoint. Calls in flight make progress only while [`closed`](Self::closed) or
/// [`drain`](Self::drain) is polled; dropping it breaks them.
pub(super) struct Connection {
    /// The driver of h2 and its keepalive; `None` once either has ended.
    running: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    peer: watch::Receiver<PeerState>,
}

/// Reasons why a connection takes no new calls.
pub(super) enum CloseReason {
    Goaway(Goaway),
    /// The connection broke, and why.
    Broken(String),
}

impl Dialer {
    /// A dialer whose attempts may take so long; over TLS if there is any.
    pub(super) fn new(connect_timeout: Duration, tls: Option<Tls>) -> Self {
        Self { connect_timeout, tls }
    }

    /// Connects. The timeout covers the peer's SETTINGS: h2's handshake does not wait for them, and a socket that accepts
    /// and sends nothing would count as connected.
    pub(super) async fn connect(&self, address: &Address) -> Result<Established, Error> {
        let limit = self.connect_timeout;
        tokio::time::timeout(limit, self.connect_without_limit(address)).await.map_err(|_| Error::Late(limit))?
    }

    async fn connect_without_limit(&self, address: &Address) -> Result<Established, Error> {
        let address = match address {
            Address::Tcp(address) => address,
            Address::Unix(path) => return self.http2(UnixStream::connect(path).await.map_err(Error::Connect)?).await,
        };
        let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
        // Else Nagle's algorithm could delay a call until the one before is acknowledged.
        stream.set_nodelay(true).map_err(Error::Connect)?;
        match &self.tls {
            Some(tls) => self.http2(tls.connect(stream).await?).await,
            None => self.http2(stream).await,
        }
    }

    async fn http2(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Established, Error> {
        let (frames, mut peer, activity) = Frames::new(stream);
        let (sender, mut connection) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            .handshake::<_, Bytes>(frames.clone())
            .await
            .map_err(Error::Http2)?;
        let pongs = connection.ping_pong().expect("taken once");
        let mut driver: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(poll_fn(move |cx| {
            // The frame reader knows why it has ended.
            let ended = Pin::new(&mut connection).poll(cx).map(drop);
            // Bytes that cannot be sent yet wake this driver again.
            let _ = frames.poll_send(cx);
            if ended.is_ready() {
                frames.close_handshake();
            }
            ended
        }));
        tokio::select! {
            biased;
            _ = peer.wait_for(|peer| *peer != PeerState::Handshaking) => {}
            () = &mut driver => {}
        }
        let closed = match &*peer.borrow() {
            PeerState::Ready | PeerState::Draining(_) => None,
            PeerState::Closed(why) => Some(why.clone()),
            PeerState::Handshaking => Some("the connection was lost".to_owned()),
        };
        if let Some(why) = closed {
            return Err(Error::Peer { why, tls: self.tls.is_some() });
        }
        Ok(Established { sender: CallSender::new(sender), activity, driver, peer, pongs })
    }
}

impl Established {
    /// Adds keepalive pings.
    pub(super) fn with_keepalive(self, subchannel: Arc<Subchannel>, pings: Pings) -> Connection {
        let Self { driver, peer, pongs, .. } = self;
        let keepalive = Keepalive { pongs, pings, subchannel, pending: false };
        let running = async move {
            tokio::select! {
                biased;
                () = driver => {}
                () = keepalive.run() => {}
            }
        };
        Connection { running: Some(Box::pin(running)), peer }
    }
}

impl Connection {
    /// Ends when the connection takes no new calls.
    pub(super) async fn closed(&mut self) -> CloseReason {
        let mut peer = self.peer.clone();
        tokio::select! {
            () = self.run() => {}
            _ = peer.wait_for(|peer| matches!(peer, PeerState::Draining(_) | PeerState::Closed(_))) => {}
        }
        match &*peer.borrow() {
            PeerState::Closed(why) => CloseReason::Broken(why.clone()),
            PeerState::Draining(goaway) => CloseReason::Goaway(goaway.clone()),
            PeerState::Handshaking | PeerState::Ready => {
                CloseReason::Broken("it answers no pings, or the connection broke".to_owned())
            }
        }
    }

    /// Ends when the calls in flight have ended, or the peer is dead.
    pub(super) async fn drain(&mut self) {
        self.run().await;
    }

    async fn run(&mut self) {
        if let Some(running) = &mut self.running {
            running.await;
            self.running = None;
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Goaway(goaway) => write!(f, "it takes no new calls ({goaway})"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}
