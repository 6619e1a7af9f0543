//! Where connections come from: TCP, or a Unix socket.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;
use tokio_util::either::Either;
use tracing::{debug, warn};

use crate::config::Address;

/// How long accepting pauses when the process is out of something, file descriptors mostly.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(50);

/// Accepts connections.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A connection.
pub type Stream = Either<TcpStream, UnixStream>;

impl Listener {
    /// Listens at an address. A socket file that nobody listens on any more is replaced; one in use is an error
    /// ([`AddrInUse`](io::ErrorKind::AddrInUse)), and so is any other file.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).await.map(Self::from),
            Address::Unix(path) => {
                let listener = match UnixListener::bind(path) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => replace(path).await?,
                    bound => bound?,
                };
                Ok(Self(Kind::Unix(listener, SocketFile::at(path)?)))
            }
        }
    }

    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> io::Result<Address> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Kind::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
        }
    }

    /// The next connection, and the address at its other end; through a Unix socket there is none.
    /// Waits for as long as none can be accepted, and says so in the log.
    pub async fn accept(&self) -> (Stream, Option<IpAddr>) {
        loop {
            match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(OUT_OF_RESOURCES).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Without it a reply could wait for the client's acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "cannot set TCP_NODELAY");
                }
                // Where IPv6 is listened on, IPv4 comes wrapped in it.
                Ok((Either::Left(stream), Some(peer.ip().to_canonical())))
            }
            Kind::Unix(listener, _) => Ok((Either::Right(listener.accept().await?.0), None)),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Kind::Tcp(listener))
    }
}

/// Takes the place of a socket file that was left behind.
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

/// The file of a Unix socket, removed at the end if it is still the same.
#[derive(Debug)]
struct SocketFile {
    path: Arc<Path>,
    id: (u64, u64),
}

impl SocketFile {
    fn at(path: &Arc<Path>) -> io::Result<Self> {
        Ok(Self { path: path.clone(), id: id(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = id(&self.path).is_ok_and(|id| id == self.id);
        if same && let Err(error) = fs::remove_file(&self.path) {
            debug!(%error, "cannot remove the socket");
        }
    }
}

/// What tells a file from another one of its name.
fn id(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}
