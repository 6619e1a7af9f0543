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

use crate::outbox::{Changed, Count, Events, Filter, Item, OperateError, Replay, Undelivered};

/// Returns the routes below `/outbox`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(events: Events) -> Router<S> {
    Router::new()
        .route("/", get(counts))
        .route("/list", post(list))
        .route("/count", post(count))
        .route("/show", post(show))
        .route("/replay", post(replay))
        .route("/undelivered", post(undelivered))
        .route("/drop", post(discard))
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

async fn counts(State(events): State<Events>) -> Response<Vec<Count>> {
    respond(events.counted().await)
}

async fn list(State(events): State<Events>, Json(filter): Json<Filter>) -> Response<Vec<Item>> {
    respond(events.list(filter).await)
}

async fn count(State(events): State<Events>, Json(filter): Json<Filter>) -> Response<i64> {
    respond(events.count(filter).await)
}

async fn show(State(events): State<Events>, Json(ShowRequest { id, reveal }): Json<ShowRequest>) -> Response<Item> {
    respond(events.show(id, reveal).await)
}

async fn replay(State(events): State<Events>, Json(filter): Json<Filter>) -> Response<Changed> {
    respond(events.replay(filter).await)
}

async fn undelivered(State(events): State<Events>, Json(replay): Json<Replay>) -> Response<Vec<Undelivered>> {
    respond(events.undelivered(replay).await)
}

async fn discard(State(events): State<Events>, Json(filter): Json<Filter>) -> Response<Changed> {
    respond(events.discard(filter).await)
}
