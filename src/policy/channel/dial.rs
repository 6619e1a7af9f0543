//! From an address to a connection that can carry calls: TCP, TLS where the URL says so, HTTP/2.

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
use super::frames::{Activity, Frames, PeerState};
use super::goaway::Goaway;
use super::keepalive::{Keepalive, Pings};
use super::subchannel::Subchannel;
use super::tls::Tls;
use crate::config::{self, Address};

/// How connections are made.
pub(super) struct Dialer {
    settings: config::Channel,
    tls: Option<Tls>,
}

/// Why there is no connection.
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
    /// Whether an attempt that took so long was cheap: nothing listens there, or what does hangs up at once.
    pub(super) fn is_fast(&self, took: Duration) -> bool {
        match self {
            // However long a busy machine took to hear of it.
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
            Self::Tls(error) => took < FAST_FAILURE && error.kind() != io::ErrorKind::InvalidData,
            Self::Connect(_) | Self::Http2(_) => took < FAST_FAILURE,
            Self::Peer { tls, .. } => took < FAST_FAILURE && !tls,
            Self::Late(_) | Self::Name(_) => false,
        }
    }
}

/// An attempt that fails sooner is one that a call can wait for.
const FAST_FAILURE: Duration = Duration::from_millis(50);

/// How much of a response, and of all responses of a connection, may be on its way unread.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 5 << 20;

/// The most bytes of a response's headers, and of its trailers: a status message of 256 KiB, and 16 KiB for the rest.
const HEADER_LIST: u32 = (256 + 16) << 10;

/// A connection over which the peer has begun to speak HTTP/2.
pub(super) struct Established {
    /// Takes calls.
    pub(super) sender: CallSender,
    /// Counts what comes.
    pub(super) activity: Activity,
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    peer: watch::Receiver<PeerState>,
    pongs: PingPong,
}

/// What moves the calls of a connection. When it is dropped those in flight break.
pub(super) struct Connection {
    /// The driver and its keepalive, until one of them ends.
    running: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    peer: watch::Receiver<PeerState>,
}

/// The end of a connection for new calls.
pub(super) enum CloseReason {
    /// The peer has sent a GOAWAY.
    Goaway(Goaway),
    /// It broke, and why.
    Broken(String),
}

impl Dialer {
    /// Over TLS, or not.
    pub(super) fn new(settings: config::Channel, tls: Option<Tls>) -> Self {
        Self { settings, tls }
    }

    /// Connects. The time that this may take covers the peer's SETTINGS: h2's own handshake does not wait for them, and
    /// a socket that accepts and says nothing would count as a policy.
    pub(super) async fn connect(&self, address: &Address) -> Result<Established, Error> {
        let limit = self.settings.connect_timeout;
        tokio::time::timeout(limit, self.connect_in_any_time(address)).await.map_err(|_| Error::Late(limit))?
    }

    async fn connect_in_any_time(&self, address: &Address) -> Result<Established, Error> {
        let address = match address {
            Address::Tcp(address) => address,
            Address::Unix(path) => return self.http2(UnixStream::connect(path).await.map_err(Error::Connect)?).await,
        };
        let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
        // Without it a call could wait for the acknowledgement of the one before.
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
        let pongs = connection.ping_pong().expect("it is asked for once");
        let mut driver: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(poll_fn(move |cx| {
            // What its end was is known from the peer.
            let ended = Pin::new(&mut connection).poll(cx).map(drop);
            // What cannot be sent yet wakes this once more.
            let _ = frames.poll_send(cx);
            if ended.is_ready() {
                frames.end();
            }
            ended
        }));
        let known = async { peer.wait_for(|peer| *peer != PeerState::Handshaking).await.map(|peer| peer.clone()) };
        let known = tokio::select! {
            biased;
            known = known => known,
            () = &mut driver => Ok(peer.borrow().clone()),
        };
        match known {
            Ok(PeerState::Closed(why)) => return Err(Error::Peer { why, tls: self.tls.is_some() }),
            Ok(PeerState::Ready | PeerState::Draining(_)) => {}
            Ok(PeerState::Handshaking) | Err(_) => {
                return Err(Error::Peer { why: "the connection was lost".to_owned(), tls: self.tls.is_some() });
            }
        }
        Ok(Established { sender: CallSender::new(sender), activity, driver, peer, pongs })
    }
}

impl Established {
    /// Begins to ping the peer while its calls are moved.
    pub(super) fn watched(self, subchannel: Arc<Subchannel>, pings: Pings) -> Connection {
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
    /// Lasts as long as the connection takes new calls. CallSender in flight go on only as long as [`drain`](Self::drain) runs,
    /// unless the peer is dead.
    pub(super) async fn ended(&mut self) -> CloseReason {
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

    /// Lets the calls in flight end, and closes the connection.
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
