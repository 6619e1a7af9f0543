//! `/outbox`: the JSON API that `hookgate outbox` uses while hookgate serves.
//!
//! It shows content and drops events, and the admin listener has no authentication. So only clients on this machine may use
//! it, unlike probes and metrics.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::PolicySources;
use crate::outbox::{Count, Events, Filter, Item, OperateError};

/// Returns the routes below `/outbox`. Each policy has an outbox; `?target=NAME` chooses one, and without it the first is asked.
pub(super) fn router<S: Clone + Send + Sync + 'static>(policies: Vec<PolicySources>) -> Router<S> {
    Router::new()
        .route("/", get(async |of: Outbox| respond(of.counted().await)))
        .route("/targets", get(async |State(all): State<Vec<PolicySources>>| Json(names(&all))))
        .route("/list", post(async |of: Outbox, Json(filter)| respond(of.list(filter).await)))
        .route("/count", post(async |of: Outbox, Json(filter)| respond(of.events.count(filter).await)))
        .route("/show", post(async |of: Outbox, Json(request)| respond(of.show(request).await)))
        .route("/replay", post(async |of: Outbox, Json(filter)| respond(of.events.replay(filter).await)))
        .route("/undelivered", post(async |of: Outbox, Json(run)| respond(of.events.undelivered(run).await)))
        .route("/drop", post(async |of: Outbox, Json(filter)| respond(of.events.discard(filter).await)))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(policies)
}

fn names(policies: &[PolicySources]) -> Vec<String> {
    policies.iter().map(|of| of.name.to_string()).collect()
}

/// The outbox of the policy that a request names.
struct Outbox {
    name: Arc<str>,
    events: Events,
}

impl FromRequestParts<Vec<PolicySources>> for Outbox {
    type Rejection = (StatusCode, Json<Value>);

    async fn from_request_parts(parts: &mut Parts, policies: &Vec<PolicySources>) -> Result<Self, Self::Rejection> {
        // A name needs no encoding.
        let target = parts.uri.query().map(|query| query.strip_prefix("target=").unwrap_or_default());
        let is_meant = |of: &&PolicySources| target.is_none_or(|target| *of.name == *target);
        let Some(PolicySources { name, events, .. }) = policies.iter().find(is_meant) else {
            let (target, known) = (target.unwrap_or_default(), names(policies).join(", "));
            let what = format!("{target:?}: no such policy; expected {known}");
            return Err((StatusCode::NOT_FOUND, Json(json!({ "error": what }))));
        };
        Ok(Self { name: name.clone(), events: events.clone() })
    }
}

impl Outbox {
    async fn counted(&self) -> Result<Vec<Count>, OperateError> {
        let counts = self.events.counted().await?.into_iter();
        Ok(counts.map(|count| Count { target: self.name.to_string(), ..count }).collect())
    }

    async fn list(&self, filter: Filter) -> Result<Vec<Item>, OperateError> {
        let items = self.events.list(filter).await?.into_iter();
        Ok(items.map(|item| Item { target: self.name.to_string(), ..item }).collect())
    }

    async fn show(&self, ShowRequest { id, reveal }: ShowRequest) -> Result<Item, OperateError> {
        Ok(Item { target: self.name.to_string(), ..self.events.show(id, reveal).await? })
    }
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
