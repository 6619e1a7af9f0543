//! Accepts connections, serves HTTP/1.1 on each, and ends them in good order.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::pin;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Response;
use super::access;
use super::caller::Caller;
use super::handshake::{self, Line};
use super::stop::{Stop, Stopping};
use crate::callers::Reason;
use crate::config::InForce;
use crate::listener::Listener;
use crate::status::Status;

/// How long a connection for one request may take to send its head.
const BRIEF_HEAD: Duration = Duration::from_secs(5);

/// How many bytes of a request's head are kept while it is not whole. OpenIM's heads are a few hundred.
const BUFFER: usize = 128 << 10;

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
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Send + 'static
{
}

impl<S> Front for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Send + 'static
{
}

/// Serves what `front` gives on every connection until told to stop, and then until every call has its reply or the
/// drain time is over. Gives the point in time when that is.
pub(super) async fn serve<S: Front>(
    listener: Listener,
    front: impl Fn(Crowded, Caller) -> S + Clone + Send + 'static,
    config: &InForce,
    status: &Arc<Status>,
    stopping: &Stopping,
    until: impl Future<Output = Stop>,
) -> Instant {
    let (graceful, over) = (GracefulShutdown::new(), CancellationToken::new());
    {
        let accepting = accept(&listener, &graceful, front, config, status, &over);
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
    over.cancel();
    let give_up = Instant::now() + config.now().drain.time;
    if timeout_at(give_up, graceful.shutdown()).await.is_err() {
        warn!("some calls did not end in time");
    }
    give_up
}

async fn accept<S: Front>(
    listener: &Listener,
    graceful: &GracefulShutdown,
    front: impl Fn(Crowded, Caller) -> S + Clone + Send + 'static,
    config: &InForce,
    status: &Arc<Status>,
    over: &CancellationToken,
) {
    loop {
        let (stream, peer) = listener.accept().await;
        let connected = status.connected();
        let now = config.now();
        let crowded = if status.connections() > now.limits.connections { Crowded::Yes } else { Crowded::No };
        let (front, status, watcher, over) = (front.clone(), status.clone(), graceful.watcher(), over.clone());
        tokio::spawn(async move {
            let met = tokio::select! {
                met = handshake::meet(stream, peer, now.tls.as_ref(), now.every.budget) => met,
                // Nobody waits for who has not even said hello.
                () = over.cancelled() => return,
            };
            let hopeless = met.as_ref().is_ok_and(|(_, caller)| access::is_hopeless(&now, caller));
            // The configuration goes on without this connection.
            drop(now);
            match met {
                Ok((line, caller)) => {
                    let brief = crowded == Crowded::Yes || hopeless;
                    let connection = connection(line, front(crowded, caller), brief);
                    match watcher.watch(connection).await {
                        Err(error) if error.is_parse() => {
                            status.callers_refused.connection(Reason::NotHttp, peer, &error.to_string());
                        }
                        Err(error) => debug!(%error, "a connection ended badly"),
                        Ok(()) => {}
                    }
                }
                Err((reason, why)) => status.callers_refused.connection(reason, peer, &why),
            }
            drop(connected);
        });
    }
}

/// Idle connections stay open: OpenIM keeps two and denies when one closes just as it is used (Go's net/http does not
/// repeat a POST), hence no timeout for the next head. A client may end its side early and still gets its reply. A brief
/// connection is for one request.
fn connection<S: Front>(line: Line, front: S, brief: bool) -> http1::Connection<TokioIo<Line>, S> {
    let mut http = http1::Builder::new();
    match brief {
        false => http.header_read_timeout(None),
        true => http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(BRIEF_HEAD),
    };
    // A reply is small: one piece costs the kernel less than two.
    http.writev(false).half_close(true).max_buf_size(BUFFER).serve_connection(TokioIo::new(line), front)
}
