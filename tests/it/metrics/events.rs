//! After events: what waits, and what became of the others.

use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Status;

use super::Scrape;
use crate::support::Policy;
use crate::support::program::{Running, configured};

const RPC: &str = "RelationPolicyService/AfterRemoveBlack";
const COMMAND: &str = "callbackAfterRemoveBlackCommand";

/// The receiver of all events.
const TARGET: (&str, &str) = ("target", "policy");

#[tokio::test]
async fn what_waits() {
    let (policy, _asked, release) = Policy::that_waits().await;
    let yaml = "after: {answer_within: 0s, concurrency: 1}";
    let program = Running::of(configured(&policy.url(), "metrics-backlog", yaml)).await;
    for _ in 0..3 {
        program.post(COMMAND, "{}").await;
    }
    let waits = |scrape: &Scrape| scrape.get("events_waiting", &[("rpc", RPC), TARGET]) == Some(2.0);
    let scrape = Scrape::until(&program, waits).await;
    assert!(scrape.get("events_bytes", &[TARGET]).unwrap() > 3.0 * 50.0);
    assert!(scrape.get("events_oldest_age_seconds", &[TARGET]).unwrap() > 0.0);
    assert_eq!(scrape.get("events_delivered", &[TARGET]), Some(0.0));
    release.send_replace(true);
    let scrape = Scrape::until(&program, |scrape| scrape.get("events_delivered", &[TARGET]) == Some(3.0)).await;
    assert_eq!(scrape.get("events_waiting", &[("rpc", RPC), TARGET]), Some(0.0));
    assert_eq!(scrape.get("events_bytes", &[TARGET]), Some(0.0));
    assert_eq!(scrape.get("events_oldest_age_seconds", &[TARGET]), Some(0.0));
    assert_eq!(scrape.get("callbacks", &[("rpc", RPC), ("outcome", "accepted")]), Some(3.0));
}

#[tokio::test]
async fn what_is_tried_again_and_what_is_lost() {
    let failed = AtomicBool::new(false);
    let policy = Policy::start(move |call| match call.rpc.ends_with("AfterRemoveBlack") {
        true if !failed.swap(true, Ordering::SeqCst) => Err(Status::unavailable("not yet")),
        true => Ok(Vec::new()),
        false => Err(Status::unimplemented("never")),
    })
    .await;
    let program = Running::of(configured(&policy.url(), "metrics-undelivered", "after: {retry_min: 1ms}")).await;
    program.post(COMMAND, "{}").await;
    for _ in 0..2 {
        program.post("callbackAfterUserRegisterCommand", "{}").await;
    }
    let lost = |scrape: &Scrape| scrape.get("events_undelivered", &[("reason", "unimplemented"), TARGET]);
    let ended = |scrape: &Scrape| scrape.get("events_delivered", &[TARGET]) == Some(1.0) && lost(scrape) == Some(2.0);
    let scrape = Scrape::until(&program, ended).await;
    assert_eq!(scrape.get("events_retried", &[TARGET]), Some(1.0));
    assert_eq!(scrape.get("events_undelivered", &[("reason", "full"), TARGET]), Some(0.0));
}
