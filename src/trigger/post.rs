//! One webhook and its reply, over the HTTP that OpenIM speaks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::Webhook;
use crate::client::{Client, NoReply, Place};
use crate::config::Roots;

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

/// Posts webhooks, and keeps the connections.
#[derive(Clone)]
pub struct Poster(Client);

/// Longer than any OpenIM waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where OpenIM says which operation it is.
const OPERATION_ID: HeaderName = HeaderName::from_static("operationid");

impl Poster {
    /// Posts to a place. Over TLS, that must have a certificate of one of these authorities, or else of the system's.
    pub fn new(to: Place, authorities: Option<Roots>) -> Self {
        Self(Client::new(to, authorities))
    }

    /// Where a command is posted to, without the password that goes with it.
    pub fn url(&self, command: &str) -> String {
        self.0.to().shown(&format!("/{command}"))
    }

    /// Posts a webhook, and waits for the reply.
    pub async fn post(&self, webhook: &Webhook) -> Result<Reply, NoReply> {
        let operation_id = HeaderValue::try_from(&webhook.operation_id);
        let operation_id = operation_id.map_err(|error| NoReply::Broken(error.to_string()))?;
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (OPERATION_ID, operation_id),
        ]);
        let began = Instant::now();
        let path = format!("/{}", webhook.command);
        let reply = self.0.send(Method::POST, &path, headers, webhook.body.clone(), PATIENCE).await?;
        let (head, body) = reply.into_parts();
        Ok(Reply { status: head.status, headers: head.headers, body, took: began.elapsed() })
    }
}

impl Reply {
    /// What hookgate says that it did, in the header `hookgate-outcome`.
    pub fn outcome(&self) -> Option<&str> {
        self.headers.get("hookgate-outcome").and_then(|value| value.to_str().ok())
    }
}
