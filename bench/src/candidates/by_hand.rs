//! What one would write instead of hookgate: two handlers of axum, serde_json and tonic, as short as they can be.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use tonic::transport::Channel;

use super::receiver::{self, Reply};
use super::webhook::{RemoveBlack, SingleMessage};
use crate::contract::Denial;
use crate::contract::message_policy_service_client::MessagePolicyServiceClient;
use crate::contract::relation_policy_service_client::RelationPolicyServiceClient;

/// Serves until it is ended.
pub async fn run(policy: SocketAddr) -> Result<()> {
    let channel = Channel::from_shared(format!("http://{policy}"))?.connect().await.context("no policy")?;
    let app = Router::new()
        .route("/callbackAfterRemoveBlackCommand", post(remove_black))
        .route("/callbackBeforeSendSingleMsgCommand", post(single_message))
        .with_state(channel);
    receiver::serve(app).await
}

async fn remove_black(State(policy): State<Channel>, Json(webhook): Json<RemoveBlack>) -> Json<Reply> {
    let answer = RelationPolicyServiceClient::new(policy).after_remove_black(AfterRequest::from(webhook)).await;
    Json(reply(answer.map(|answer| answer.into_inner().denial)))
}

async fn single_message(State(policy): State<Channel>, Json(webhook): Json<SingleMessage>) -> Json<Reply> {
    let answer = MessagePolicyServiceClient::new(policy).before_send_single_msg(BeforeRequest::from(webhook)).await;
    Json(reply(answer.map(|answer| answer.into_inner().denial)))
}

type AfterRequest = crate::contract::AfterRemoveBlackRequest;
type BeforeRequest = crate::contract::BeforeSendSingleMsgRequest;

fn reply(verdict: Result<Option<Denial>, tonic::Status>) -> Reply {
    match verdict {
        Ok(None) => Reply::default(),
        Ok(Some(denial)) => Reply::denial(denial.code.into(), denial.message),
        Err(status) => Reply::denial(5000, status.message().to_owned()),
    }
}
