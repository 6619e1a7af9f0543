//! Addresses of sockets: an IP address and a port, or the path of a Unix socket; URLs of gRPC services.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use async_nats::ServerAddr;
use http::Uri;
use http::uri::Authority;
use serde::{Serialize, Serializer};

use super::value::{Kind, quoted};

/// The scheme of Unix sockets. An authority, which is empty, may follow: `unix:///run/policy.sock`.
const UNIX: &str = "unix:";

/// The address of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(Arc<Path>),
}

/// The URL of a policy service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyUrl {
    /// A host and a port: `http://` or `https://`, and no path.
    Host(Uri),
    /// A Unix socket.
    Unix(Arc<Path>),
}

/// Addresses of servers of NATS.
pub(super) fn nats_url() -> Kind<ServerAddr> {
    Kind::new("URL", nats_server, |server: &ServerAddr| quoted(server.as_url_str()))
}

/// Parses the address of a server of NATS. The error does not repeat the text, which may hold a password.
fn nats_server(text: &str) -> Result<ServerAddr, String> {
    let expected = "expected servers of NATS, as in nats://a:4222,nats://b:4222, or tls:// for TLS";
    let text = text.trim_end_matches('/');
    let rest = text.strip_prefix("nats://").or_else(|| text.strip_prefix("tls://")).ok_or(expected)?;
    if rest.contains('@') {
        return Err("a login does not stand in the URL; after.nats.user and others name it".to_owned());
    }
    // The parser of URLs removes or encodes what is not a letter.
    let is_odd = rest.contains(|c: char| !c.is_ascii_graphic() || "/?#".contains(c));
    match text.parse::<ServerAddr>() {
        Ok(server) if !is_odd && !server.host().is_empty() && server.port() != 0 => Ok(server),
        _ => Err(expected.to_owned()),
    }
}

/// Returns 127.0.0.1 with a port.
pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Parses the address of a listener: an IP address and a port. `localhost` is 127.0.0.1; a port alone is for every IPv4
/// address.
pub(super) fn socket_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let ip = match host {
        "" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        host => host,
    };
    format!("{ip}:{port}").parse().ok()
}

/// URLs of policy services, or `builtin`.
pub(super) fn policy_url() -> Kind<Option<PolicyUrl>> {
    let read = |text: &str| if text == "builtin" { Ok(None) } else { text.parse().map(Some) };
    let print = |url: &Option<PolicyUrl>| url.as_ref().map_or("builtin".to_owned(), |url| quoted(&url.to_string()));
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

impl Address {
    /// Returns the IP address and port; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        if let Self::Tcp(address) = self { Some(*address) } else { None }
    }

    /// Parses the path of a Unix socket after `unix:` or `unix://`; `None` for a text without that scheme.
    pub(crate) fn unix(text: &str) -> Option<Result<Arc<Path>, String>> {
        text.strip_prefix(UNIX).map(|rest| {
            let path = rest.strip_prefix("//").unwrap_or(rest);
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
            Self::Tcp(address) => format!("http{}://{address}", if tls { "s" } else { "" }),
            Self::Unix(_) => self.to_string(),
        }
    }
}

impl PolicyUrl {
    /// Returns true if it is called over TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Host(url) if url.scheme_str() == Some("https"))
    }

    /// Returns the host, of an IPv6 address without its brackets, and the port; `None` for a Unix socket.
    pub fn host(&self) -> Option<(&str, u16)> {
        if let Self::Host(url) = self { Some(host_and_port(url)) } else { None }
    }

    /// Returns the `:authority` of its calls. For a Unix socket it is `localhost`, as gRPC's own clients send it.
    pub fn authority(&self) -> Authority {
        let authority = if let Self::Host(url) = self { url.authority().cloned() } else { None };
        authority.unwrap_or_else(|| Authority::from_static("localhost"))
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(unix) = Self::unix(text) {
            return unix.map(Self::Unix);
        }
        socket_address(text).map(Self::Tcp).ok_or_else(|| {
            format!(
                "{text:?}: expected an IP address and a port, as in 127.0.0.1:10006, localhost:10006 or :10006, or a \
                 socket's path, as in unix:///run/hookgate.sock"
            )
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}//{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl FromStr for PolicyUrl {
    type Err = String;

    /// Parses a URL, or a target as gRPC's clients name it: `host:port` and `dns:///host:port` are asked without TLS. The
    /// error does not repeat the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(unix) = Address::unix(text) {
            return unix.map(Self::Unix);
        }
        let expected = "expected a host and a port, as in policy:50051, http://policy:50051 or https://policy:50051, or \
                        a socket's path, as in unix:///run/policy.sock";
        let target = text.strip_prefix("dns:").map(|name| name.strip_prefix("///").unwrap_or(name));
        let url = match target.or_else(|| (!text.contains("://")).then_some(text)) {
            Some(target) if target.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) => {
                return Err(expected.to_owned());
            }
            Some(target) => format!("http://{target}"),
            None => text.to_owned(),
        };
        grpc_url(&url, expected, "a user and password are not sent to a policy service").map(Self::Host)
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
