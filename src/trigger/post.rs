//! One webhook and its reply, over the HTTP that OpenIM speaks.

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::Webhook;
use super::dial::Dial;
use super::place::Place;
use crate::config::{self, Roots};

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status, which OpenIM ignores.
    pub status: StatusCode,
    /// The headers, which OpenIM ignores too.
    pub headers: HeaderMap,
    /// The body, which is all that counts.
    pub body: Bytes,
    /// The time from before the webhook until the body was whole.
    pub took: Duration,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// Nobody to post to.
    #[error("nobody answers at {to}: {why}")]
    Unreached {
        /// The URL.
        to: Box<Place>,
        /// What the system says.
        why: String,
    },
    /// The connection ended before the reply did.
    #[error("no whole reply: {0}")]
    Broken(String),
    /// No reply in this time.
    #[error("no reply within {0:?}")]
    Late(Duration),
}

/// Posts webhooks, and keeps the connections.
#[derive(Clone)]
pub struct Poster {
    client: Client<Dial, Full<Bytes>>,
    to: Place,
}

/// Longer than any OpenIM waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes of a reply that are looked at.
const REPLY_LIMIT: usize = 16 << 20;

impl Poster {
    /// Posts to a place. Over TLS, that must have a certificate of one of these authorities, or else of the system's.
    pub fn new(to: Place, authorities: Option<Roots>) -> Self {
        let is_tls = to.url.scheme_str() == Some("https");
        let tls = is_tls.then(|| config::connector(authorities.map(|roots| roots.store), None, b"http/1.1"));
        let dial = Dial { socket: to.socket.clone(), tls };
        Self { client: Client::builder(TokioExecutor::new()).build(dial), to }
    }

    /// Where a command is posted to, without the password that goes with it.
    pub fn url(&self, command: &str) -> String {
        match &self.to.socket {
            Some(socket) => format!("{socket} /{command}"),
            None => self.to.url_of(command),
        }
    }

    /// Posts a webhook, and waits for the reply.
    pub async fn post(&self, webhook: &Webhook) -> Result<Reply, NoReply> {
        timeout(PATIENCE, self.post_at_leisure(webhook)).await.map_err(|_| NoReply::Late(PATIENCE))?
    }

    async fn post_at_leisure(&self, webhook: &Webhook) -> Result<Reply, NoReply> {
        let mut request = Request::post(self.to.url_of(&webhook.command))
            .header(header::CONTENT_TYPE, "application/json")
            .header("operationID", &webhook.operation_id);
        if let Some(authorization) = &self.to.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request =
            request.body(Full::new(webhook.body.clone())).map_err(|error| NoReply::Broken(error.to_string()))?;
        let began = Instant::now();
        let response = self.client.request(request).await.map_err(|error| {
            let why = error.source().map_or_else(|| error.to_string(), deepest);
            if error.is_connect() {
                NoReply::Unreached { to: Box::new(self.to.clone()), why }
            } else {
                NoReply::Broken(why)
            }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, REPLY_LIMIT).collect().await;
        let body = body.map_err(|error| NoReply::Broken(error.to_string()))?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body, took: began.elapsed() })
    }
}

impl Reply {
    /// What hookgate says that it did, in the header `hookgate-outcome`.
    pub fn outcome(&self) -> Option<&str> {
        self.headers.get("hookgate-outcome").and_then(|value| value.to_str().ok())
    }
}

/// What the system said, under what the libraries made of it.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), deepest)
}
