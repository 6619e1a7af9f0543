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

use crate::outbox::{Changed, Count, Events, Filter, Item, OperateError};

/// Returns the routes for other clients: 403 with an explanation.
pub(super) fn refusing<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let why = "the outbox is for callers from a loopback address alone: run hookgate outbox beside hookgate (in Kubernetes by \
               kubectl exec), and have admin_listen on 127.0.0.1, on 0.0.0.0 or on a Unix socket";
    Router::new().fallback(async move || (StatusCode::FORBIDDEN, Json(json!({ "error": why }))))
}

/// Returns the routes below `/outbox`.
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
            OperateError::Undone | OperateError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
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

async fn discard(State(events): State<Events>, Json(filter): Json<Filter>) -> Response<Changed> {
    respond(events.discard(filter).await)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::Service;

    use super::*;

    #[tokio::test]
    async fn the_others_are_told_why_not_whatever_they_ask() {
        let mut router: Router = Router::new().nest("/outbox", refusing());
        for (method, path) in
            [("GET", "/outbox"), ("POST", "/outbox/show"), ("POST", "/outbox/drop"), ("PUT", "/outbox/x")]
        {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let response = router.call(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {path}");
            let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), 1000).await.unwrap()).unwrap();
            assert!(body["error"].as_str().unwrap().contains("kubectl exec"), "{body}");
        }
    }
}
