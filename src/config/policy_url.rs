//! Which policy service is asked, and where one can be.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use http::uri::Authority;

use super::address::{Address, host_and_port};
use super::host_url::host_url;
use super::value::{Kind, quoted};

/// The policy service.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyService {
    /// The built-in one, listening here.
    BuiltIn(SocketAddr),
    /// The operator's, at this URL.
    Url(PolicyUrl),
}

/// Where a policy service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyUrl {
    /// At a host and a port: `http://` or `https://`, and no path.
    Host(Uri),
    /// Behind a Unix socket.
    Unix(Arc<Path>),
}

/// The word that stands for the built-in policy.
const BUILTIN: &str = "builtin";

/// A policy service, or none for the built-in one.
pub const POLICY: Kind<Option<PolicyUrl>> = Kind {
    list: false,
    read: |text| if text == BUILTIN { Ok(None) } else { text.parse().map(Some) },
    show: |policy| Some(policy.as_ref().map_or_else(|| BUILTIN.to_owned(), |url| quoted(&url.to_string()))),
};

impl Default for PolicyService {
    fn default() -> Self {
        Self::BuiltIn(SocketAddr::from(([127, 0, 0, 1], 50051)))
    }
}

impl PolicyUrl {
    /// Whether it is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Host(url) if url.scheme_str() == Some("https"))
    }

    /// The host, of an IPv6 address without its brackets, and the port; behind a Unix socket there is neither.
    pub fn host(&self) -> Option<(&str, u16)> {
        match self {
            Self::Host(url) => Some(host_and_port(url)),
            Self::Unix(_) => None,
        }
    }

    /// What calls name as the one that they are for. A socket has no name; what gRPC's own clients send there is
    /// `localhost`.
    pub fn authority(&self) -> Authority {
        let authority = match self {
            Self::Host(url) => url.authority().cloned(),
            Self::Unix(_) => None,
        };
        authority.unwrap_or_else(|| Authority::from_static("localhost"))
    }
}

impl FromStr for PolicyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(unix) = Address::unix(text) {
            return unix.map(Self::Unix);
        }
        let expected = "expected http:// or https://, a host and a port, as in http://policy:50051, or a socket's path, \
                        as in unix:///run/policy.sock";
        host_url(text, expected, "a user and password are not sent to a policy service").map(Self::Host)
    }
}

impl fmt::Display for PolicyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(url) => f.write_str(url.to_string().trim_end_matches('/')),
            Self::Unix(path) => Address::Unix(path.clone()).fmt(f),
        }
    }
}
