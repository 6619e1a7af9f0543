//! The URL of a server: `url` of OpenIM's `webhooks.yml`, the URL of an admin listener, or the path of a Unix socket.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::config::Address;

/// The URL of a server, or the path of its Unix socket.
#[derive(Debug, Clone)]
pub(crate) struct ServerUrl {
    /// URL without user and password.
    pub(super) url: Uri,
    /// Path of the Unix socket.
    pub(super) socket: Option<Arc<Path>>,
    /// User and password of the URL as HTTP basic authentication, as Go's net/http sends them.
    pub(super) authorization: Option<HeaderValue>,
}

impl ServerUrl {
    /// Appends a path, as OpenIM does: to the end of the URL, even behind a query.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.url.to_string().trim_end_matches('/'))
    }

    /// Returns a path of this server for display, without the password.
    pub(crate) fn display(&self, path: &str) -> String {
        match &self.socket {
            Some(_) => format!("{self} {path}"),
            None => self.join(path),
        }
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    /// Parses a URL. `http://` may be left out, and the host too, if it is this machine. The error does not repeat the text,
    /// which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(socket) = Address::unix(text) {
            return Ok(Self { url: Uri::from_static("http://localhost"), socket: Some(socket?), authorization: None });
        }
        let text = match text.strip_prefix(':') {
            Some(port) => format!("http://127.0.0.1:{port}"),
            None if !text.contains("://") => format!("http://{text}"),
            None => text.to_owned(),
        };
        let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(
                "a host is needed, with http:// or https:// before it, or unix:// and a socket's path".to_owned()
            );
        };
        let Some((user, host)) = authority.as_str().rsplit_once('@') else {
            return Ok(Self { url, socket: None, authorization: None });
        };
        let mut credentials: Vec<u8> = percent_decode_str(user).collect();
        if !user.contains(':') {
            credentials.push(b':');
        }
        let authorization = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)));
        let mut authorization = authorization.map_err(|error| error.to_string())?;
        authorization.set_sensitive(true);
        let url = text.replacen(authority.as_str(), host, 1).parse().map_err(|error| format!("{error}"))?;
        Ok(Self { url, socket: None, authorization: Some(authorization) })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => Address::Unix(socket.clone()).fmt(f),
            None => self.url.fmt(f),
        }
    }
}
