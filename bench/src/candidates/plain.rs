//! What a webhook costs by itself: the same receiver and the same JSON, but nobody is asked.

use anyhow::Result;
use axum::routing::post;
use axum::{Json, Router};

use super::receiver::{self, Reply};
use super::webhook::{RemoveBlack, SingleMessage};

/// Serves until it is ended.
pub async fn run() -> Result<()> {
    let app = Router::new()
        .route("/callbackAfterRemoveBlackCommand", post(remove_black))
        .route("/callbackBeforeSendSingleMsgCommand", post(single_message));
    receiver::serve(app).await
}

async fn remove_black(Json(webhook): Json<RemoveBlack>) -> Json<Reply> {
    drop(std::hint::black_box(webhook));
    Json(Reply::default())
}

async fn single_message(Json(webhook): Json<SingleMessage>) -> Json<Reply> {
    drop(std::hint::black_box(webhook));
    Json(Reply::default())
}
