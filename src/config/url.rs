//! URLs: of the policy service, and of other gRPC services.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use http::uri::Authority;

use super::address::{Address, loopback};
use super::value::{Kind, quoted};

/// The policy service.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyService {
    /// The built-in one, listening here.
    BuiltIn(SocketAddr),
    /// The operator's, at this URL.
    Url(PolicyUrl),
}

/// The URL of a policy service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyUrl {
    /// A host and a port: `http://` or `https://`, and no path.
    Host(Uri),
    /// A Unix socket.
    Unix(Arc<Path>),
}

/// The word for the built-in policy.
const BUILTIN: &str = "builtin";

/// URLs of policy services, or `builtin`.
pub(super) fn policy_url() -> Kind<Option<PolicyUrl>> {
    let read = |text: &str| if text == BUILTIN { Ok(None) } else { text.parse().map(Some) };
    let print = |url: &Option<PolicyUrl>| url.as_ref().map_or(BUILTIN.to_owned(), |url| quoted(&url.to_string()));
    Kind::new("builtin or URL", read, print)
}

/// Parses the URL of a gRPC service: a scheme, a host, perhaps a port, and no more. The text may hold a password and is
/// not repeated: the error is `expected`, or ends with it, or is `no_user` if the text names a user.
pub(super) fn grpc_url(text: &str, expected: &str, no_user: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}; {expected}"))?;
    let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(expected.to_owned());
    };
    if authority.as_str().contains('@') {
        return Err(no_user.to_owned());
    }
    if authority.host().is_empty() || authority.port().is_some_and(|port| port.as_u16() == 0) {
        return Err(format!("no host or no port; {expected}"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(format!("a path or query has no meaning here; {expected}"));
    }
    Ok(url)
}

/// Returns the host of a URL, of an IPv6 address without its brackets, and the port, which is that of the scheme where none
/// is given: 80 or 443.
pub(crate) fn host_and_port(url: &Uri) -> (&str, u16) {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    (host, url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 }))
}

impl Default for PolicyService {
    fn default() -> Self {
        Self::BuiltIn(loopback(50051))
    }
}

impl PolicyUrl {
    /// Returns true if it is called over TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Host(url) if url.scheme_str() == Some("https"))
    }

    /// Returns the host, of an IPv6 address without its brackets, and the port; `None` for a Unix socket.
    pub fn host(&self) -> Option<(&str, u16)> {
        match self {
            Self::Host(url) => Some(host_and_port(url)),
            Self::Unix(_) => None,
        }
    }

    /// Returns the `:authority` of its calls. For a Unix socket it is `localhost`, as gRPC's own clients send it.
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
        grpc_url(text, expected, "a user and password are not sent to a policy service").map(Self::Host)
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
