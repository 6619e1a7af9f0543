//! Listeners: TCP and Unix sockets.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;
use tokio_util::either::Either;
use tracing::{debug, warn};

use crate::config::Address;

/// Pause in accepting when the process is out of file descriptors or another resource.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(50);

/// TCP keep-alive: a connection whose peer has vanished ends after two minutes.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// Length of the queue of new connections on an inherited socket, which the kernel limits. It holds what arrives during a
/// restart, and systemfd makes it for one connection.
const LONGEST_QUEUE: i32 = i32::MAX;

/// Accepts connections.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    /// The socket outlives the process: see [`Inherited`](super::inherited::Inherited).
    is_inherited: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    /// With its path, and with its file until no new client may find it.
    Unix(UnixListener, Arc<Path>, Option<SocketFile>),
}

/// A connection, and its peer address; `None` through a Unix socket.
pub(crate) type Accepted = (Stream, Option<IpAddr>);

/// A connection.
pub(crate) type Stream = Either<TcpStream, UnixStream>;

impl Listener {
    /// Listens at an address. A stale socket file is replaced; one in use is an error
    /// ([`AddrInUse`](io::ErrorKind::AddrInUse)), and so is any other file.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).await.map(Self::from),
            Address::Unix(path) => {
                let listener = match UnixListener::bind(path) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => replace(path).await?,
                    bound => bound?,
                };
                let file = SocketFile { path: path.clone(), id: id(path)? };
                let kind = Kind::Unix(listener, path.clone(), Some(file));
                Ok(Self { kind, is_inherited: false })
            }
        }
    }

    /// Listens on a TCP socket that the process was started with.
    pub(super) fn inherited_tcp(socket: std::net::TcpListener) -> io::Result<Self> {
        SockRef::from(&socket).listen(LONGEST_QUEUE)?;
        socket.set_nonblocking(true)?;
        Ok(Self { kind: Kind::Tcp(TcpListener::from_std(socket)?), is_inherited: true })
    }

    /// Listens on a Unix socket that the process was started with. Its file is not removed at the end.
    pub(super) fn inherited_unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        SockRef::from(&socket).listen(LONGEST_QUEUE)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let path = address.as_pathname().ok_or_else(|| io::Error::other("it is a Unix socket without a path"))?;
        Ok(Self { kind: Kind::Unix(UnixListener::from_std(socket)?, path.into(), None), is_inherited: true })
    }

    /// Returns true if the process was started with the socket: its successor will be too.
    pub(super) fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// The address, with the port that the system chose.
    pub fn address(&self) -> io::Result<Address> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Kind::Unix(_, path, _) => Ok(Address::Unix(path.clone())),
        }
    }

    /// Accepts the next connection. On an error, which is of this connection or for want of file descriptors, call [`pause`].
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Tcp(listener) => listener.accept().await.map(|(stream, peer)| tcp(stream, peer)),
            Kind::Unix(listener, ..) => Ok((Either::Right(listener.accept().await?.0), None)),
        }
    }

    /// Turns new clients away, but still accepts connections that are complete for the client.
    pub(crate) fn turn_away(&mut self) {
        match &mut self.kind {
            Kind::Tcp(listener) => {
                if let Err(error) = drop_syn(&SockRef::from(&*listener)) {
                    debug!(%error, "cannot turn new connections away before the end");
                }
            }
            Kind::Unix(_, _, file) => drop(file.take()),
        }
    }

    /// Closes, and returns the connections that were complete and not accepted yet.
    pub(crate) fn close(self) -> io::Result<Vec<Accepted>> {
        let mut left = Vec::new();
        match self.kind {
            Kind::Tcp(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, peer)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    left.push(tcp(TcpStream::from_std(stream)?, peer));
                }
            }
            Kind::Unix(listener, ..) => {
                let listener = listener.into_std()?;
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    left.push((Either::Right(UnixStream::from_std(stream)?), None));
                }
            }
        }
        Ok(left)
    }
}

/// Logs that a connection could not be accepted, and waits.
pub(crate) async fn pause(error: &io::Error) {
    warn!(%error, "cannot accept a connection");
    sleep(OUT_OF_RESOURCES).await;
}

fn tcp(stream: TcpStream, peer: SocketAddr) -> Accepted {
    // Nagle's algorithm would delay a reply until the client acknowledges the one before.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE) {
        debug!(%error, "cannot set TCP keep-alive");
    }
    // A listener on IPv6 reports IPv4 addresses mapped.
    (Either::Left(stream), Some(peer.ip().to_canonical()))
}

/// Drops every SYN before a listening socket sees it (classic BPF): the client retries after a second, and is refused.
#[cfg(target_os = "linux")]
fn drop_syn(socket: &SockRef<'_>) -> io::Result<()> {
    use socket2::SockFilter;
    // Byte 13 of a TCP header has the flags, SYN is 2: load it; drop the packet if it is set; else keep all.
    socket.attach_filter(&[
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x45, 0, 1, 2),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn drop_syn(_: &SockRef<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self { kind: Kind::Tcp(listener), is_inherited: false }
    }
}

/// Replaces a stale socket file.
async fn replace(path: &Path) -> io::Result<UnixListener> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The file of a Unix socket. It is removed on drop if it is still the same.
#[derive(Debug)]
struct SocketFile {
    path: Arc<Path>,
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = id(&self.path).is_ok_and(|id| id == self.id);
        if same && let Err(error) = fs::remove_file(&self.path) {
            debug!(%error, "cannot remove the socket");
        }
    }
}

/// Returns device and inode of a file.
fn id(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}
