//! The HTTP client of the commands: to where OpenIM posts webhooks, and to the admin listener.
//!
//! - `place`: where that is.
//! - `dial`: how it is reached.

mod dial;
mod place;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

pub use place::Place;

use crate::config::{self, Roots};
use dial::Dial;

/// The most bytes of a reply that are read.
const REPLY_LIMIT: usize = 64 << 20;

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// Nobody to send to.
    #[error("nobody answers at {to}: {why}")]
    Unreached {
        /// The URL.
        to: Box<Place>,
        /// What the system says.
        why: String,
    },
    /// The connection ended before the reply did, or the reply has no end.
    #[error("no whole reply: {0}")]
    Broken(String),
    /// No reply in this time.
    #[error("no reply within {0:?}")]
    Late(Duration),
}

/// Sends requests to one place, and keeps the connections.
#[derive(Clone)]
pub struct Client {
    client: legacy::Client<Dial, Full<Bytes>>,
    to: Place,
}

impl Client {
    /// Sends to a place. Over TLS, that must have a certificate of one of these authorities, or else of the system's.
    pub fn new(to: Place, authorities: Option<Roots>) -> Self {
        let is_tls = to.url.scheme_str() == Some("https");
        let tls = is_tls.then(|| config::connector(authorities.map(|roots| roots.store), None, b"http/1.1"));
        let dial = Dial { socket: to.socket.clone(), tls };
        Self { client: legacy::Client::builder(TokioExecutor::new()).build(dial), to }
    }

    /// Where requests go.
    pub fn to(&self) -> &Place {
        &self.to
    }

    /// Sends a request, and waits for the whole reply as long as `patience` lasts. The path is glued to what the place has,
    /// and begins with a slash.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        patience: Duration,
    ) -> Result<Response<Bytes>, NoReply> {
        let sent = self.send_at_leisure(method, path, headers, body);
        timeout(patience, sent).await.map_err(|_| NoReply::Late(patience))?
    }

    async fn send_at_leisure(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, NoReply> {
        let request = Request::builder().method(method).uri(self.to.url_of(path)).body(Full::new(body));
        let mut request = request.map_err(|error| NoReply::Broken(error.to_string()))?;
        *request.headers_mut() = headers;
        if let Some(authorization) = &self.to.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let response = self.client.request(request).await.map_err(|error| {
            let why = deepest(&error);
            if error.is_connect() {
                NoReply::Unreached { to: Box::new(self.to.clone()), why }
            } else {
                NoReply::Broken(why)
            }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, REPLY_LIMIT).collect().await;
        let body = body.map_err(|error| NoReply::Broken(error.to_string()))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// What the system said, under what the libraries made of it.
fn deepest(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), deepest)
}
