//! Which policy service is asked, and where one can be.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use http::Uri;

use super::address::Address;
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
    Unix(Address),
}

/// A policy service, if any.
pub const POLICY: Kind<Option<PolicyUrl>> = Kind {
    list: false,
    read: |text| text.parse().map(Some),
    show: |policy| policy.as_ref().map(|url| quoted(&url.to_string())),
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
}

impl FromStr for PolicyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(unix) = Address::unix(text) {
            return unix.map(|path| Self::Unix(Address::Unix(path)));
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
            Self::Unix(address) => address.fmt(f),
        }
    }
}
