//! After events on disk.

use std::path::Path;

use super::Scrape;
use crate::support::Policy;
use crate::support::program::{Running, configured};

const EVENT: &str = "callbackAfterRemoveBlackCommand";

#[tokio::test]
async fn what_waits_what_ended_and_how_long_the_disk_took() {
    let policy = Policy::start(|call| match call.metadata("openim-operation-id") {
        Some("op-7") => Err(tonic::Status::unimplemented("not this one")),
        _ => Err(tonic::Status::unavailable("away")),
    })
    .await;
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics-outbox");
    drop(std::fs::remove_dir_all(&data));
    let yaml = format!("data: {}\nafter: {{answer_within: 0ms}}", data.display());
    let program = Running::of(configured(&policy.url(), "metrics-outbox", &yaml)).await;
    let scrape = Scrape::of(&program).await;
    assert_eq!((scrape.get("outbox_events", &[]), scrape.get("outbox_dead", &[])), (Some(0.0), Some(0.0)));

    // Ends undelivered.
    program.post(EVENT, "{}").await;
    let scrape = Scrape::until(&program, |scrape| scrape.get("outbox_dead", &[]) == Some(1.0)).await;
    assert_eq!(scrape.get("outbox_events", &[]), Some(0.0));
    assert!(scrape.get("outbox_bytes", &[]).unwrap() > 0.0);
    let bucket = scrape.find("outbox_commit_duration_seconds", &[]);
    assert!(bucket.is_some(), "commits are counted");

    // Waits for the policy.
    let uri = format!("http://{}/{EVENT}", program.webhooks);
    super::send(http::Request::post(uri).header("operationID", "op-8").body("{}".into()).unwrap()).await;
    let scrape = Scrape::until(&program, |scrape| scrape.get("outbox_events", &[]) == Some(1.0)).await;
    assert_eq!(scrape.get("outbox_dead", &[]), Some(1.0));
}
