//! Addresses of sockets: an IP address and a port, or the path of a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The scheme of Unix sockets.
const UNIX: &str = "unix://";

/// The address of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(Arc<Path>),
}

/// Returns 127.0.0.1 with a port.
pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Address {
    /// Returns the IP address and port; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Parses the path of a Unix socket after `unix://`; `None` for a text without that scheme.
    pub(crate) fn unix(text: &str) -> Option<Result<Arc<Path>, String>> {
        text.strip_prefix(UNIX).map(|path| {
            if !path.starts_with('/') || path.ends_with('/') {
                return Err(format!(
                    "{text:?}: expected a file's path from the root on, as in unix:///run/policy.sock"
                ));
            }
            // The system knows the maximum length.
            match std::os::unix::net::SocketAddr::from_pathname(path) {
                Ok(_) => Ok(Path::new(path).into()),
                Err(_) => Err(format!("{text:?}: a socket's path has 107 bytes at most, and no zero byte")),
            }
        })
    }

    /// Returns the URL for clients: `https` if the socket speaks TLS.
    pub fn url(&self, tls: bool) -> String {
        match self {
            Self::Tcp(address) if tls => format!("https://{address}"),
            Self::Tcp(address) => format!("http://{address}"),
            Self::Unix(_) => self.to_string(),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(unix) = Self::unix(text) {
            return unix.map(Self::Unix);
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "{text:?}: expected an IP address and a port, as in 127.0.0.1:10006, or a socket's path, as in \
                 unix:///run/hookgate.sock"
            )
        })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
