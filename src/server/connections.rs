//! Accepts connections, serves HTTP/1.1 on each, and ends them in good order.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::pin;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::codegen::StdError;
use tower::Service;
use tracing::{debug, info, warn};

use super::stop::{Stop, Stopping};
use crate::config::InForce;
use crate::status::Status;

/// How long accepting pauses when the process is out of something, file descriptors mostly.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(50);

/// How long a connection over the limit may take to send a request's head.
const CROWDED_HEAD: Duration = Duration::from_secs(5);

/// Whether a connection is over the limit. Its one request is answered by the rule for `overloaded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// It is over the limit.
    Yes,
    /// It is within the limit.
    No,
}

/// What answers the requests of a connection.
pub(super) trait Front:
    Service<Request<Incoming>, Response = Response<Self::Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    /// What its responses are made of.
    type Body: Body<Data = Bytes, Error: Into<StdError>> + Send + 'static;
}

impl<S, B> Front for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<StdError>> + Send + 'static,
{
    type Body = B;
}

/// Serves what `front` gives on every connection until told to stop, and then until every call has its reply or the
/// drain time is over. Gives the point in time when that is.
pub(super) async fn serve<S: Front>(
    listener: TcpListener,
    front: impl Fn(Crowded) -> S,
    config: &InForce,
    status: &Arc<Status>,
    stopping: &Stopping,
    until: impl Future<Output = Stop>,
) -> Instant {
    let graceful = GracefulShutdown::new();
    {
        let accepting = accept(&listener, &graceful, front, config, status);
        pin!(accepting);
        let stop = tokio::select! {
            stop = until => stop,
            () = &mut accepting => Stop::Now,
        };
        stopping.begin();
        let delay = config.now().drain.delay;
        if stop == Stop::Drain && !delay.is_zero() {
            info!(?delay, "still accepting, closing each connection with its next reply");
            tokio::select! {
                () = sleep(delay) => {}
                () = &mut accepting => {}
            }
        }
    }
    drop(listener);
    let give_up = Instant::now() + config.now().drain.time;
    if timeout_at(give_up, graceful.shutdown()).await.is_err() {
        warn!("some calls did not end in time");
    }
    give_up
}

async fn accept<S: Front>(
    listener: &TcpListener,
    graceful: &GracefulShutdown,
    front: impl Fn(Crowded) -> S,
    config: &InForce,
    status: &Arc<Status>,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(OUT_OF_RESOURCES).await;
                continue;
            }
        };
        let connected = status.connected();
        let crowded = if status.connections() > config.now().limits.connections { Crowded::Yes } else { Crowded::No };
        let connection = graceful.watch(connection(stream, front(crowded), crowded));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended badly");
            }
            drop(connected);
        });
    }
}

/// Idle connections stay open: OpenIM keeps two and denies when one closes just as it is used (Go's net/http does not
/// repeat a POST), hence no timeout for the next head. A client may end its side early and still gets its reply.
fn connection<S: Front>(
    stream: TcpStream,
    front: S,
    crowded: Crowded,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<S>> {
    // Without it the reply could wait for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut http = http1::Builder::new();
    match crowded {
        Crowded::No => http.header_read_timeout(None),
        Crowded::Yes => http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(CROWDED_HEAD),
    };
    http.half_close(true).serve_connection(TokioIo::new(stream), TowerToHyperService::new(front))
}
