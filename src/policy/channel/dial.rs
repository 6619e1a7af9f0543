//! Connecting: from an address over TCP, TLS if the URL has it, and HTTP/2 to a connection that carries calls.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::connection::Connection;
use super::keepalive::Pings;
use super::stream::Stream;
use super::subchannel::Subchannel;
use super::tls::Tls;
use crate::config::{self, Address};

/// Reasons why an attempt to connect fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no connection within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    Connect(#[source] io::Error),
    #[error("no certificate can be for {0:?}")]
    Name(String),
    #[error("TLS: {}", config::handshake_failure(.0))]
    Tls(#[source] io::Error),
    #[error("{error}")]
    Http2 { error: h2::Error, tls: bool },
}

impl Error {
    /// Returns true if the attempt, which took so long, has failed in no time: nothing listens there, or the listener
    /// hangs up at once. Calls wait for another one.
    pub(super) fn is_fast(&self, took: Duration) -> bool {
        match self {
            // However long it took, as on a busy machine.
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
            Self::Tls(error) => took < FAST_FAILURE && error.kind() != io::ErrorKind::InvalidData,
            Self::Connect(_) => took < FAST_FAILURE,
            Self::Http2 { tls, .. } => took < FAST_FAILURE && !tls,
            Self::Late(_) | Self::Name(_) => false,
        }
    }
}

/// Maximum duration of an attempt that fails in no time.
const FAST_FAILURE: Duration = Duration::from_millis(50);

/// Connects to the address of a subchannel, within this time; over TLS if there is any.
pub(super) async fn connect(
    subchannel: &Arc<Subchannel>,
    tls: Option<&Tls>,
    pings: Pings,
    limit: Duration,
) -> Result<Connection, Error> {
    let connected = async {
        let stream = open(&subchannel.address, tls).await?;
        let connection = Connection::handshake(stream, subchannel.clone(), pings).await;
        connection.map_err(|error| Error::Http2 { error, tls: tls.is_some() })
    };
    timeout(limit, connected).await.map_err(|_| Error::Late(limit))?
}

async fn open(address: &Address, tls: Option<&Tls>) -> Result<Box<dyn Stream>, Error> {
    let address = match address {
        Address::Tcp(address) => address,
        Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await.map_err(Error::Connect)?)),
    };
    let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
    // Else Nagle's algorithm could delay a call until the one before is acknowledged.
    stream.set_nodelay(true).map_err(Error::Connect)?;
    match tls {
        Some(tls) => Ok(Box::new(tls.connect(stream).await?)),
        None => Ok(Box::new(stream)),
    }
}
