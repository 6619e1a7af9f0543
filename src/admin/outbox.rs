//! `/outbox`: the JSON API that `hookgate outbox` uses while hookgate serves.
//!
//! It shows content and drops events, and the admin listener has no authentication. So only clients on this machine may use
//! it, unlike probes and metrics.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::outbox::{Events, OperateError};

/// Returns the routes below `/outbox`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(events: Events) -> Router<S> {
    type Asked = State<Events>;
    Router::new()
        .route("/", get(async |State(events): Asked| respond(events.counted().await)))
        .route("/list", post(async |State(events): Asked, Json(filter)| respond(events.list(filter).await)))
        .route("/count", post(async |State(events): Asked, Json(filter)| respond(events.count(filter).await)))
        .route(
            "/show",
            post(async |State(events): Asked, Json(ShowRequest { id, reveal })| respond(events.show(id, reveal).await)),
        )
        .route("/replay", post(async |State(events): Asked, Json(filter)| respond(events.replay(filter).await)))
        .route("/undelivered", post(async |State(events): Asked, Json(run)| respond(events.undelivered(run).await)))
        .route("/drop", post(async |State(events): Asked, Json(filter)| respond(events.discard(filter).await)))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(events)
}

/// A request to show an event; `reveal` shows its content too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowRequest {
    id: String,
    #[serde(default)]
    reveal: bool,
}

type Response<T> = Result<Json<T>, (StatusCode, Json<Value>)>;

fn respond<T>(result: Result<T, OperateError>) -> Response<T> {
    result.map(Json).map_err(|error| {
        let status = match error {
            OperateError::NoDisk | OperateError::Unknown(_) => StatusCode::NOT_FOUND,
            OperateError::OnItsWay(_) => StatusCode::CONFLICT,
            OperateError::Which => StatusCode::BAD_REQUEST,
            OperateError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            OperateError::Undone | OperateError::Stopping | OperateError::Cluster(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({ "error": error.to_string() })))
    })
}
