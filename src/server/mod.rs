//! The HTTP front: one column of layers, one handler, one map from failure to reply.

mod body;
mod connections;
mod reply;
mod webhook;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as HttpBody;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::client::GrpcService;
use tonic::codegen::StdError;
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::{Error, Failure};
use crate::policy::{Answer, Policy, Question};
use crate::verdict::{DEFAULT_CODE, Denial, Reply};
use reply::Outcome;
use webhook::Webhook;

/// The time from a webhook's arrival to its reply: OpenIM's shipped timeout of 5 s less a margin.
const BUDGET: Duration = Duration::from_millis(4500);

/// What carries calls to the policy service.
pub trait Transport:
    GrpcService<
        tonic::body::Body,
        Future: Send + 'static,
        Error: Into<StdError>,
        ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<T> Transport for T where
    T: GrpcService<
            tonic::body::Body,
            Future: Send + 'static,
            Error: Into<StdError>,
            ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Answers webhooks on `listener`, as `policy` says, until told to stop; what is in flight then is finished.
pub async fn run<T: Transport>(listener: TcpListener, policy: Policy<T>, until: impl Future<Output = ()>) {
    connections::serve(listener, router(policy), until).await;
}

/// The whole front as one value.
fn router<T: Transport>(policy: Policy<T>) -> Router {
    Router::new()
        // Any path leads here: what OpenIM is told as its url is the operator's choice.
        .fallback(answer)
        .with_state(Arc::new(policy))
        // A panic is a denial like any other; without this the connection would just end.
        .layer(CatchPanicLayer::custom(reply::panicked))
}

/// Answers one webhook, whatever happens, and says so in the log.
async fn answer<T: Transport>(State(policy): State<Arc<Policy<T>>>, request: Request) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let webhook = match Webhook::route(&head) {
        Ok(webhook) => webhook,
        Err(refusal) => return reply::refused(&refusal, &head),
    };
    let result = decide(&policy, &webhook, body, arrived).await;
    let outcome = Outcome { webhook: &webhook, result, took: arrived.elapsed() };
    outcome.log();
    outcome.into_response()
}

/// Decode, ask, decide, reply.
async fn decide<T: Transport>(
    policy: &Policy<T>,
    webhook: &Webhook,
    body: axum::body::Body,
    arrived: Instant,
) -> Result<Reply, Error> {
    let deadline = arrived + BUDGET;
    let body = body::read(body, deadline).await?;
    let message = webhook.transcode(&body)?;
    let question = Question { callback: webhook.callback, message, metadata: webhook.metadata(), deadline };
    match policy.ask(question).await? {
        Answer::Response(response) => Ok(webhook.callback.reply(Some(&response), &body).map_err(Failure::from)?),
        Answer::PermissionDenied(message) => Ok(Denial::new(DEFAULT_CODE, &message, "").into()),
    }
}
