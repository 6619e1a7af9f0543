//! From what became of a webhook to the HTTP response: every one is a reply that OpenIM can read.

use std::any::Any;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::response::Response;
use bytes::Bytes;
use tracing::{debug, error, info, warn};

use super::webhook::Webhook;
use crate::error::{Error, Refusal};
use crate::verdict::{DEFAULT_CODE, Denial, Reply, Verdict};

/// What became of a webhook.
pub(super) struct Outcome<'a> {
    pub(super) webhook: &'a Webhook,
    pub(super) result: Result<Reply, Error>,
    pub(super) took: Duration,
}

impl Outcome<'_> {
    /// One line a webhook, and nothing of its content. A plain allow is the ordinary case and stands at debug.
    pub(super) fn log(&self) {
        let command = &*self.webhook.command;
        let operation_id = &*self.webhook.operation_id;
        let took = self.took;
        match &self.result {
            Ok(Reply { verdict: Verdict::Allow, .. }) => debug!(command, operation_id, ?took, "allow"),
            Ok(Reply { verdict: Verdict::Changed(changes), .. }) => {
                info!(command, operation_id, ?took, ?changes, "allow, changed");
            }
            Ok(Reply { verdict: Verdict::Deny(denial), .. }) => {
                info!(command, operation_id, ?took, code = denial.code(), "deny");
            }
            Err(Error::Refused(refusal)) => warn!(command, operation_id, ?took, reason = %refusal, "refused"),
            Err(Error::Failed(failure)) => {
                let (class, cause) = (failure.class.as_str(), failure.cause());
                warn!(command, operation_id, ?took, class, cause, "failed, so denied");
            }
        }
    }

    /// The one map from failure to reply. OpenIM looks at the body alone; the status is for people and meshes.
    pub(super) fn into_response(self) -> Response {
        match self.result {
            Ok(reply) => respond(StatusCode::OK, reply.body),
            Err(Error::Refused(refusal)) => refuse(&refusal),
            Err(Error::Failed(failure)) => {
                respond(StatusCode::OK, Denial::new(DEFAULT_CODE, failure.class.sentence(), "").body())
            }
        }
    }
}

/// The reply to a request that is no webhook of ours.
pub(super) fn refused(refusal: &Refusal, head: &Parts) -> Response {
    warn!(method = %head.method, path = head.uri.path(), reason = %refusal, "refused");
    refuse(refusal)
}

/// The reply of a handler that panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    error!(panic = text.unwrap_or("no text"), "panicked, so denied");
    respond(StatusCode::INTERNAL_SERVER_ERROR, Denial::new(DEFAULT_CODE, "hookgate failed", "").body())
}

fn refuse(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Late => StatusCode::REQUEST_TIMEOUT,
        Refusal::CutShort | Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = respond(status, Denial::new(DEFAULT_CODE, &refusal.to_string(), "").body());
    let headers = response.headers_mut();
    if let Refusal::Method = refusal {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if let Refusal::TooLarge(_) | Refusal::Late | Refusal::CutShort = refusal {
        // What is left of the body would be taken for the next request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn respond(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
