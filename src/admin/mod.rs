//! The admin listener: whether it runs, whether it is ready, how it stands, and the same for Prometheus.

mod browsers;
mod metrics;
mod outbox;
mod sources;

pub use sources::Sources;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::task::yield_now;
use tokio::time::timeout;
use tracing::debug;

use crate::config::{Config, days_until};
use crate::memory::Memory;
use crate::observe::drift;
use crate::outbox::Reason;
use crate::server::limits::{BoundedTasks, Descriptors};
use crate::server::listener::{Listener, Stream, pause};
use crate::server::progress::{Progress, StepTimeouts, Tracked};

/// Prometheus keeps its connection from one scrape to the next; none of a minute and less is cut.
const TIMEOUTS: StepTimeouts = StepTimeouts {
    idle: Some(Duration::from_secs(120)),
    head: Duration::from_secs(10),
    call: Some(Duration::from_secs(60)),
    reply: Duration::from_secs(30),
};

/// The largest head, and the room for reading that a connection may take, in bytes.
const HEAD: usize = 16 << 10;

/// The largest body, in bytes: what is asked of the outbox is a line of JSON.
const BODY: usize = 64 << 10;

/// The time that the end of a connection may take.
const CLOSING: Duration = Duration::from_secs(2);

/// Answers on `listener` until told to stop. A connection over the bound ends the oldest: whoever holds many of them cannot
/// keep a probe out.
pub async fn run(listener: impl Into<Listener>, admin: Sources, until: impl Future<Output = ()>) {
    let outbox = outbox::router(admin.events.clone());
    // A browser reaches no Unix socket.
    let socket = router(outbox.clone(), admin.clone());
    let near = router(outbox.layer(from_fn_with_state(admin.config.clone(), browsers::refuse)), admin.clone());
    let far = router(outbox::refusing(), admin);
    let listener = listener.into();
    let mut connections = BoundedTasks::new(Descriptors::of_this_process().admin);
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let router = match peer {
                        None => &socket,
                        Some(peer) if peer.is_loopback() => &near,
                        Some(_) => &far,
                    };
                    connections.push(tokio::spawn(attend(stream, router.clone())).abort_handle());
                    // Whoever had to make room goes first.
                    yield_now().await;
                }
                Err(error) => pause(&error).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = until => {}
    }
    connections.abort_all();
}

async fn attend(stream: Stream, router: Router) {
    let progress = Arc::new(Progress::default());
    // What hyper itself bounds, by the size of a head.
    let watched = Tracked::new(stream, progress.clone(), Memory::default().share(), usize::MAX).with_refusals();
    let (service, calling) = (TowerToHyperService::new(router), progress.clone());
    let service = service_fn(move |request: http::Request<Incoming>| {
        calling.begin_call();
        service.call(request)
    });
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(watched), service);
    {
        let serving = pin!(progress.within(TIMEOUTS, poll_fn(|cx| Pin::new(&mut connection).poll(cx))));
        match serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "a connection to the admin listener ended badly"),
            Err(stalled) => debug!(%stalled, "a connection to the admin listener is given up"),
        }
    }
    let (mut line, _) = connection.into_parts().io.into_inner().into_parts();
    let _ = timeout(CLOSING, line.shutdown()).await;
}

fn router(outbox: Router<Sources>, admin: Sources) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .nest("/outbox", outbox)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(admin)
}

/// 200 when webhooks should come here; else 503, and why not.
async fn readyz(State(admin): State<Sources>) -> (StatusCode, String) {
    if admin.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let health = admin.health.borrow();
    let code = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", *health))
}

async fn metrics(State(admin): State<Sources>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match metrics::scrape(&admin, accept) {
        Ok((content_type, text)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn status(State(admin): State<Sources>) -> Json<Value> {
    let (backlog, counts) = (admin.events.backlog(), admin.events.counts());
    let undelivered = Reason::ALL.map(|reason| (reason.as_str().to_owned(), Value::from(counts.undelivered(reason))));
    let mut report = admin.status.report();
    report["certificates"] = certificates(&admin.config.now());
    report["stopping"] = admin.stopping.is_cancelled().into();
    report["configuration"] = admin.reloads.report();
    report["policy"] = json!({
        "url": admin.channel.url().to_string(),
        "ready": admin.health.borrow().is_ready(),
        "state": admin.health.borrow().to_string(),
        "channel": admin.channel.status(),
    });
    report["after_events"] = json!({
        "backlog": {
            "events": backlog.events,
            "bytes": backlog.bytes,
            "oldest_ms": backlog.oldest.map(milliseconds),
        },
        "rpcs": serde_json::Map::from_iter(backlog.rpcs.iter().map(|rpc| (rpc.rpc.to_owned(), json!({
            "waiting": rpc.waiting,
            "in_flight": rpc.in_flight,
            "oldest_ms": rpc.oldest.map(milliseconds),
            "paused_ms": rpc.paused.map(milliseconds),
        })))),
        "disk": backlog.disk.map(|disk| json!({
            "dead": disk.dead,
            "dead_bytes": disk.dead_bytes,
            "file_bytes": disk.file_bytes,
            "unwritten_bytes": disk.unwritten_bytes,
            "stopped": disk.stopped,
            "unreadable": disk.unreadable,
            "commits": disk.commits.iter().sum::<u64>(),
            "commit_ms": milliseconds(disk.commit_time),
        })),
        "delivered": counts.delivered,
        "retried": counts.retried,
        "undelivered": serde_json::Map::from_iter(undelivered),
    });
    let counts = admin.decisions.counts();
    report["decisions"] =
        json!({ "on": admin.decisions.is_on(), "written": counts.written(), "left_out": counts.left_out() });
    let enabled = admin.config.now();
    let drift = drift::Report::of(admin.status.unknowns(), admin.status.names(), enabled.openim_enables.as_ref());
    report["drift"] = serde_json::to_value(drift).unwrap_or_default();
    Json(report)
}

/// When each certificate in force expires.
fn certificates(config: &Config) -> Value {
    let all = config.certificates().map(|(name, expires)| {
        let shown = humantime::format_rfc3339_seconds(expires).to_string();
        (name.to_owned(), json!({ "expires": shown, "days": days_until(expires) }))
    });
    Value::Object(all.collect())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
