//! The admin listener: whether it runs, whether it is ready, how it stands, and the same for Prometheus.

mod browsers;
mod outbox;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Config, InForce, days_until};
use crate::decisions::Decisions;
use crate::drift;
use crate::events::{Events, Reason};
use crate::listener::Listener;
use crate::metrics;
use crate::policy::health;
use crate::policy::{Channel, Policy};
use crate::reload::Reloads;
use crate::server::Stopping;
use crate::status::Status;
use crate::traces::Traces;

/// What the admin listener tells of.
#[derive(Debug, Clone)]
pub struct Admin {
    /// What has happened so far.
    pub status: Arc<Status>,
    /// The After events on their way.
    pub events: Events,
    /// What asks the policy service.
    pub policy: Policy<Channel>,
    /// The decision log.
    pub decisions: Decisions,
    /// What carries the calls.
    pub channel: Channel,
    /// Whether the policy service is to be asked.
    pub health: watch::Receiver<health::State>,
    /// What has become of changes to the configuration.
    pub reloads: Reloads,
    /// The configuration in force.
    pub config: InForce,
    /// Whether hookgate is stopping.
    pub stopping: Stopping,
    /// Where spans go.
    pub traces: Traces,
}

/// Answers on `listener` until told to stop.
pub async fn run(listener: impl Into<Listener>, admin: Admin, until: impl Future<Output = ()>) {
    let outbox = outbox::router(admin.events.clone());
    // A browser reaches no Unix socket.
    let socket = router(outbox.clone(), admin.clone());
    let near = router(outbox.layer(from_fn_with_state(admin.config.clone(), browsers::refuse)), admin.clone());
    let far = router(outbox::refusing(), admin);
    let listener = listener.into();
    // Dropped at the end, and every connection with it.
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            while connections.try_join_next().is_some() {}
            let (stream, peer) = listener.accept().await;
            let router = match peer {
                None => &socket,
                Some(peer) if peer.is_loopback() => &near,
                Some(_) => &far,
            };
            let service = TowerToHyperService::new(router.clone());
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = until => {}
    }
}

fn router(outbox: Router<Admin>, admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .nest("/outbox", outbox)
        .with_state(admin)
}

/// 200 when webhooks should come here; else 503, and why not.
async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    if admin.stopping.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let health = admin.health.borrow();
    let code = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", *health))
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match metrics::scrape(&admin, accept) {
        Ok((content_type, text)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn status(State(admin): State<Admin>) -> Json<Value> {
    let (backlog, counts) = (admin.events.backlog(), admin.events.counts());
    let undelivered = Reason::ALL.map(|reason| (reason.as_str().to_owned(), Value::from(counts.undelivered(reason))));
    let mut report = admin.status.report();
    report["certificates"] = certificates(&admin.config.now());
    report["stopping"] = admin.stopping.is_stopping().into();
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
