//! The way as a whole, over real sockets: routes, metadata, and every reply well formed.

mod support;

use support::{Gate, Policy};

const ALLOW: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

#[tokio::test]
async fn the_documented_webhook_is_allowed() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    let body =
        r#"{"callbackCommand":"callbackAfterRemoveBlackCommand","ownerUserID":"user123","blackUserID":"user456"}"#;
    let reply = gate.post("/callbackAfterRemoveBlackCommand?contenttype=json", body).await;
    assert_eq!(reply.body, ALLOW);
    let calls = policy.take_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].rpc, "/openim.policy.v1.RelationPolicyService/AfterRemoveBlack");
}
