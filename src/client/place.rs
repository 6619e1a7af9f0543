//! Where requests go: what stands as `url` in OpenIM's `webhooks.yml`, the URL of an admin listener, or a Unix socket.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::config::Address;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Place {
    /// Without a user and password.
    pub(super) url: Uri,
    /// The path of the socket, where it is one.
    pub(super) socket: Option<Arc<Path>>,
    /// The user and password, as Go's net/http sends those of a URL.
    pub(super) authorization: Option<HeaderValue>,
}

impl Place {
    /// The URL of a path, which is glued to the end, whatever stands there, as OpenIM does it.
    pub(super) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url.to_string().trim_end_matches('/'))
    }

    /// A path here as people are shown it, without the password that goes with it.
    pub fn shown(&self, path: &str) -> String {
        match &self.socket {
            Some(_) => format!("{self} {path}"),
            None => self.url_of(path),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    /// What is wrong is said without the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(socket) = Address::unix(text) {
            return Ok(Self { url: Uri::from_static("http://localhost"), socket: Some(socket?), authorization: None });
        }
        let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err("http:// or https:// and a host are needed, or unix:// and a socket's path".to_owned());
        };
        let Some((user, host)) = authority.as_str().rsplit_once('@') else {
            return Ok(Self { url, socket: None, authorization: None });
        };
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
        let credentials = [decoded(user), decoded(password)].join(&b':');
        let header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)));
        let mut authorization = header.map_err(|error| error.to_string())?;
        authorization.set_sensitive(true);
        let mut parts = url.clone().into_parts();
        parts.authority = Some(host.parse().map_err(|error| format!("{error}"))?);
        let url = Uri::from_parts(parts).map_err(|error| error.to_string())?;
        Ok(Self { url, socket: None, authorization: Some(authorization) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => Address::Unix(socket.clone()).fmt(f),
            None => self.url.fmt(f),
        }
    }
}
