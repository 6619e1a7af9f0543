//! The building block of the layers, and the two smallest layers.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{Either, ready};
use http::{HeaderValue, Request, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::{Layer, Service};

use super::caller::Connection;
use super::record::Record;
use super::{Response, ServerState};

/// Largest reply in bytes after which a connection stays open: hyper keeps the buffer of the longest one until the end.
const LARGE: u64 = 64 << 10;

/// A request on its way through the layers, with the record of it.
pub(super) struct Call<T> {
    pub(super) webhooks: Arc<ServerState<T>>,
    pub(super) record: Arc<Record>,
    pub(super) request: Request<Incoming>,
}

/// The service below a layer. It is always ready.
pub(super) trait Next<T>:
    Service<Call<T>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<T, S> Next<T> for S where
    S: Service<Call<T>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// The future of a reply.
pub(super) trait ResponseFuture: Future<Output = Result<Response, Infallible>> + Send {}

impl<F: Future<Output = Result<Response, Infallible>> + Send> ResponseFuture for F {}

/// A layer that is a function of the call and the service below, as in axum's `middleware::from_fn`, but without a box around
/// its future. One that wraps the future below by combinators adds a few words to it; an async function adds a whole [`Call`].
#[derive(Debug, Clone, Copy)]
pub(super) struct FromFn<F>(pub(super) F);

/// The service of a [`FromFn`].
#[derive(Debug, Clone, Copy)]
pub(super) struct FromFnService<F, S> {
    function: F,
    next: S,
}

impl<F: Clone, S> Layer<S> for FromFn<F> {
    type Service = FromFnService<F, S>;

    fn layer(&self, next: S) -> Self::Service {
        FromFnService { function: self.0.clone(), next }
    }
}

impl<T, F, S, Fut> Service<Call<T>> for FromFnService<F, S>
where
    F: Fn(Call<T>, S) -> Fut,
    S: Clone,
    Fut: Future<Output = Result<Response, Infallible>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<T>) -> Fut {
        (self.function)(call, self.next.clone())
    }
}

/// Has the client close the connection with this reply while hookgate drains, after a large reply, and on a plaintext
/// connection from before TLS was configured.
pub(super) fn set_connection_close<T, S: Next<T>>(call: Call<T>, mut next: S) -> impl ResponseFuture {
    let record = call.record.clone();
    next.call(call).map(move |response| response.map(|response| closing(&record.connection, response)))
}

fn closing(connection: &Connection, mut response: Response) -> Response {
    let bytes = response.body().size_hint().lower();
    if bytes > LARGE {
        // Counted until the reply is read, or the connection is given up.
        let mut share = connection.shared.status.memory.share();
        share.grow_anyway(usize::try_from(bytes).unwrap_or_default());
        connection.progress.hold(share);
    }
    let shared = &connection.shared;
    if bytes > LARGE || shared.draining.load(Relaxed) || connection.caller.predates_tls(&shared.config.now()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Denies, or allows a callback that fails open, if the service below panics, when it is called or when its future is polled;
/// without this the connection would just end.
pub(super) fn catch_panic<T, S: Next<T>>(call: Call<T>, mut next: S) -> impl ResponseFuture {
    let record = call.record.clone();
    match catch_unwind(AssertUnwindSafe(|| next.call(call))) {
        Ok(reply) => {
            let reply = AssertUnwindSafe(reply).catch_unwind();
            Either::Left(reply.map(move |reply| reply.unwrap_or_else(|_| Ok(record.panicked()))))
        }
        Err(_) => Either::Right(ready(Ok(record.panicked()))),
    }
}
