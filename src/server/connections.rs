//! Accepts connections, serves HTTP/1.1 on each, and ends them in good order.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::pin;
use tracing::{debug, warn};

/// How long calls in flight may take to end, once told to stop: the budget and some.
const DRAIN: Duration = Duration::from_secs(6);

/// How long accepting pauses when the process is out of something, file descriptors mostly.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(50);

/// Serves `router` on every connection until told to stop.
pub(super) async fn serve(listener: TcpListener, router: Router, until: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    pin!(until);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(OUT_OF_RESOURCES).await;
                    continue;
                }
            },
            () = &mut until => break,
        };
        let connection = graceful.watch(connection(stream, router.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        warn!("some calls did not end in time");
    }
}

/// Idle connections stay open: OpenIM keeps two and denies when one closes just as it is used (Go's net/http does not
/// repeat a POST), hence no timeout for the next head. A client may end its side early and still gets its reply.
fn connection(stream: TcpStream, router: Router) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    // Without it the reply could wait for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
