//! The admin listener: `/livez`, `/readyz`, `/status`, `/metrics`, `/shadow` and `/outbox`, and an index of them at `/`.

mod metrics;
mod origin;
mod outbox;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::ConfigHandle;
use crate::memory::Memory;
use crate::observe::counters::{PolicyCounters, Status};
use crate::observe::decisions::Decisions;
use crate::observe::traces::Traces;
use crate::outbox::Events;
use crate::policy::{Channel, Policy, health};
use crate::reload::Reloads;
use crate::server::Guards;
use crate::server::limits::{BoundedTasks, Descriptors};
use crate::server::listener::{Listener, Stream, pause};
use crate::server::progress::{Progress, Step, Tracked};

/// Timeouts of a connection. Prometheus keeps one between scrapes, whose interval may be a minute.
fn timeouts(step: Step) -> Option<Duration> {
    let seconds = match step {
        Step::Idle => 120,
        Step::Head => 10,
        Step::Call => 60,
        Step::Reply => 30,
    };
    Some(Duration::from_secs(seconds))
}

/// Maximum size of a request's head, and of a connection's read buffer, in bytes.
const HEAD: usize = 16 << 10;

/// Maximum size of a request's body in bytes: requests to the outbox are small.
const BODY: usize = 64 << 10;

/// Handles to the parts of hookgate that the admin listener reports on.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Counters.
    pub status: Arc<Status>,
    /// The policies, in the order of the configuration; one at least.
    pub policies: Vec<PolicySources>,
    /// The guards of routes.
    pub guards: Guards,
    /// The decision log.
    pub decisions: Decisions,
    /// Counters of reloads.
    pub reloads: Reloads,
    /// The configuration in force.
    pub config: ConfigHandle,
    /// Cancelled when hookgate begins to stop.
    pub stopping: CancellationToken,
    /// The exporter of spans.
    pub traces: Traces,
}

impl Sources {
    /// Returns true if the configuration gives the policies names.
    fn are_named(&self) -> bool {
        !self.config.now().policies.is_empty()
    }
}

/// Handles to one policy service.
#[derive(Debug, Clone)]
pub struct PolicySources {
    /// Its name.
    pub name: Arc<str>,
    /// Its client.
    pub policy: Policy<Channel>,
    /// The gRPC channel to it.
    pub channel: Channel,
    /// Its health.
    pub health: watch::Receiver<health::State>,
    /// The queue of After events on their way to it.
    pub events: Events,
    /// The counters of its verdicts.
    pub counters: Arc<PolicyCounters>,
}

/// Serves on `listener` until `until` is cancelled. A connection over the limit closes the oldest one, so that a client with
/// many connections cannot keep probes out.
pub(crate) async fn run(listener: Listener, admin: Sources, until: CancellationToken) {
    let router = router(admin);
    let mut connections = BoundedTasks::new(Descriptors::of_this_process().admin);
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let router = router.clone().layer(Extension(peer));
                    connections.push(tokio::spawn(serve(stream, router)).abort_handle());
                    // Lets a closed connection end first.
                    yield_now().await;
                }
                Err(error) => pause(&error).await,
            }
        }
    };
    until.run_until_cancelled(accepting).await;
    connections.abort_all();
}

async fn serve(stream: Stream, router: Router) {
    let progress = Arc::new(Progress::default());
    // Without a limit of buffered bytes of its own: hyper has one, by the size of a head.
    let watched = Tracked::new(stream, progress.clone(), Memory::default().share(), usize::MAX).with_refusals();
    let (service, calling) = (TowerToHyperService::new(router), progress.clone());
    let service = service_fn(move |request: http::Request<Incoming>| {
        calling.set(Step::Call);
        service.call(request)
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(watched), service);
    match progress.within(timeouts, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "admin connection failed"),
        Err(stalled) => debug!(%stalled, "admin connection timed out"),
    }
}

/// The index of the routes.
const INDEX: &str = concat!(
    "hookgate ",
    env!("CARGO_PKG_VERSION"),
    ", admin listener\n\n",
    "/livez    200 while the process runs\n",
    "/readyz   200 if webhooks should be sent here, otherwise 503 and the reason\n",
    "/status   everything at a glance, as JSON; hookgate status prints it for people\n",
    "/metrics  for Prometheus\n",
    "/shadow   how the verdicts of shadows differ from the replies, for hookgate shadow\n",
    "/outbox   After events on disk or on a cluster, for hookgate outbox on this machine\n",
);

fn router(admin: Sources) -> Router {
    let check = from_fn_with_state(admin.config.clone(), origin::check);
    Router::new()
        .route("/", get(async || INDEX))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status::status))
        .route("/metrics", get(metrics::scrape))
        .route("/shadow", get(shadow))
        .route("/shadow/resume", post(resume).layer(check.clone()))
        .nest("/outbox", outbox::router(admin.policies.clone()).layer(check))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(admin)
}

/// Returns the differences between the verdicts of shadows and the replies, the webhooks about which they were not asked, and
/// the guards.
async fn shadow(State(admin): State<Sources>) -> Json<Value> {
    let shadows = || admin.policies.iter().map(|of| (&*of.name, &of.counters.shadow));
    let rows: Vec<_> = shadows().flat_map(|(name, shadow)| shadow.rows(name)).collect();
    let not_asked = shadows().filter(|(_, shadow)| shadow.not_asked() > 0);
    let not_asked: BTreeMap<_, _> = not_asked.map(|(name, shadow)| (name, shadow.not_asked())).collect();
    Json(json!({ "rows": rows, "not_asked": not_asked, "guards": admin.guards.report(&admin.config.now()) }))
}

/// A request to take routes again that a guard has left: one by its name, or all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    route: Option<String>,
}

async fn resume(State(admin): State<Sources>, Json(Resume { route }): Json<Resume>) -> Json<Value> {
    Json(json!({ "resumed": admin.guards.resume(route.as_deref()) }))
}

/// Returns 200 if webhooks should be sent here, otherwise 503 and the reason.
async fn readyz(State(admin): State<Sources>) -> (StatusCode, String) {
    if admin.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let config = admin.config.now();
    let states: Vec<_> = admin.policies.iter().map(|of| (&of.name, of.health.borrow().clone())).collect();
    // The others' webhooks have failure rules; without hookgate all of them would be denied. A shadow decides nothing.
    let is_ready = states.iter().enumerate().any(|(index, (_, state))| state.is_ready() && config.decides(index));
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = match &*states {
        [(_, state)] => format!("{state}\n"),
        several => several.iter().map(|(name, state)| format!("{name}: {state}\n")).collect(),
    };
    (code, text)
}
