//! `/outbox` of the admin listener: what `hookgate outbox` asks while hookgate serves. JSON both ways.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::events::{Count, Events, Filter, Item, OperateError};

/// What is asked, below `/outbox`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(events: Events) -> Router<S> {
    Router::new()
        .route("/", get(counts))
        .route("/list", post(list))
        .route("/count", post(count))
        .route("/show", post(show))
        .route("/replay", post(replay))
        .route("/drop", post(discard))
        .with_state(events)
}

/// Which event is shown, and how much of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    id: String,
    #[serde(default)]
    reveal: bool,
}

type Told<T> = Result<Json<T>, (StatusCode, Json<Value>)>;

fn told<T>(result: Result<T, OperateError>) -> Told<T> {
    result.map(Json).map_err(|error| {
        let status = match error {
            OperateError::NoDisk | OperateError::Unknown(_) => StatusCode::NOT_FOUND,
            OperateError::OnItsWay(_) => StatusCode::CONFLICT,
            OperateError::Which => StatusCode::BAD_REQUEST,
            OperateError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            OperateError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({ "error": error.to_string() })))
    })
}

async fn counts(State(events): State<Events>) -> Told<Vec<Count>> {
    told(events.counted().await)
}

async fn list(State(events): State<Events>, Json(filter): Json<Filter>) -> Told<Vec<Item>> {
    told(events.list(filter).await)
}

async fn count(State(events): State<Events>, Json(filter): Json<Filter>) -> Told<i64> {
    told(events.count(filter).await)
}

async fn show(State(events): State<Events>, Json(Shown { id, reveal }): Json<Shown>) -> Told<Item> {
    told(events.show(id, reveal).await)
}

async fn replay(State(events): State<Events>, Json(filter): Json<Filter>) -> Told<usize> {
    told(events.replay(filter).await)
}

async fn discard(State(events): State<Events>, Json(filter): Json<Filter>) -> Told<usize> {
    told(events.discard(filter).await)
}
