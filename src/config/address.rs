//! Where a socket is: an IP address and a port, or a path.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use serde::{Serialize, Serializer};

use super::value::{Kind, quoted};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix://";

/// Where a socket is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket, from the root on.
    Unix(Arc<Path>),
}

/// An address to listen on.
pub const LISTEN: Kind<Address> =
    Kind { list: false, read: str::parse, show: |address| Some(quoted(&address.to_string())) };

/// The host of a URL, of an IPv6 address without its brackets, and its port, or else its scheme's.
pub(crate) fn host_and_port(url: &Uri) -> (&str, u16) {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    (host, url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 }))
}

impl Address {
    /// The IP address and port, where there are any.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The path of a Unix socket, which stands after `unix://`; nothing where the text is of another kind.
    pub(crate) fn unix(text: &str) -> Option<Result<Arc<Path>, String>> {
        text.strip_prefix(UNIX).map(|path| {
            if !path.starts_with('/') || path.ends_with('/') {
                return Err(format!(
                    "{text:?}: expected a file's path from the root on, as in unix:///run/policy.sock"
                ));
            }
            // The system knows how much fits in an address.
            match std::os::unix::net::SocketAddr::from_pathname(path) {
                Ok(_) => Ok(Path::new(path).into()),
                Err(_) => Err(format!("{text:?}: a socket's path has 107 bytes at most, and no zero byte")),
            }
        })
    }

    /// As a client is told: with a scheme, which is `https` where the socket speaks TLS.
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
