//! The policy call alone, made by tonic: what a candidate's latency is compared with.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;
use tonic::transport::Channel;

use super::pace::pace;
use super::{Latencies, SETTLE, Tally};
use crate::body::Webhook;
use crate::candidates::webhook::{RemoveBlack, SingleMessage};
use crate::contract::message_policy_service_client::MessagePolicyServiceClient;
use crate::contract::relation_policy_service_client::RelationPolicyServiceClient;
use crate::contract::{AfterRemoveBlackRequest, BeforeSendSingleMsgRequest};

#[derive(Clone)]
enum Call {
    RemoveBlack(AfterRemoveBlackRequest),
    SingleMessage(Box<BeforeSendSingleMsgRequest>),
}

/// Calls the policy at a fixed rate with what a webhook says.
pub async fn run(policy: SocketAddr, webhook: &Webhook, rate: u32, lasts: Duration) -> Result<Latencies> {
    let channel = Channel::from_shared(format!("http://{policy}"))?.connect().await.context("no policy")?;
    let call = match webhook.name {
        "small" => Call::RemoveBlack(serde_json::from_str::<RemoveBlack>(&webhook.body)?.into()),
        _ => Call::SingleMessage(Box::new(serde_json::from_str::<SingleMessage>(&webhook.body)?.into())),
    };
    let tally = Arc::new(Mutex::new(Tally::new()?));
    let calls =
        pace(rate, lasts, |due| drop(tokio::spawn(make(call.clone(), channel.clone(), due, tally.clone())))).await?;
    let last = Instant::now();
    let locked = || tally.lock().unwrap_or_else(PoisonError::into_inner);
    while locked().answered < calls && last.elapsed() < SETTLE {
        sleep(Duration::from_millis(5)).await;
    }
    let tally = locked();
    ensure!(tally.errors == 0 && tally.answered == calls, "some direct calls of the policy failed");
    Ok(tally.quantiles())
}

async fn make(call: Call, channel: Channel, due: Instant, tally: Arc<Mutex<Tally>>) {
    let answered = match call {
        Call::RemoveBlack(request) => {
            RelationPolicyServiceClient::new(channel).after_remove_black(request).await.is_ok()
        }
        Call::SingleMessage(request) => {
            MessagePolicyServiceClient::new(channel).before_send_single_msg(*request).await.is_ok()
        }
    };
    tally.lock().unwrap_or_else(PoisonError::into_inner).count(due, answered);
}
