//! The policy service: connections, retries, breaker, readiness, and the spans about it.

use h2::Reason;

use super::Scrape;
use crate::support::Policy;
use crate::support::program::{Running, configured};
use crate::support::refusing::{Act, Refusing};

const COMMAND: &str = "callbackBeforeSendSingleMsgCommand";

fn breaker(scrape: &Scrape) -> [f64; 3] {
    ["closed", "open", "half-open"].map(|state| scrape.get("policy_breaker", &[("state", state)]).unwrap())
}

#[tokio::test]
async fn calls_that_are_made_again() {
    let refused = Act::Reset(Reason::REFUSED_STREAM);
    let policy = Refusing::start(Box::leak(Box::new([refused, Act::Status(0), refused, refused]))).await;
    let program = Running::of(configured(&policy.url(), "metrics-retries", "")).await;
    assert_eq!(Scrape::of(&program).await.get("policy_retries", &[]), Some(0.0));
    for _ in 0..3 {
        program.post(COMMAND, "{}").await;
    }
    // The second was refused twice, and the third not at all.
    assert_eq!(policy.calls().len(), 5);
    assert_eq!(Scrape::of(&program).await.get("policy_retries", &[]), Some(2.0));
}

#[tokio::test]
async fn a_breaker_that_opens() {
    let policy = Refusing::start(&[Act::Reset(Reason::CANCEL); 2]).await;
    let yaml = "channel: {breaker_failures: 2, breaker_open: 1h}";
    let program = Running::of(configured(&policy.url(), "metrics-breaker", yaml)).await;
    let scrape = Scrape::until(&program, |scrape| scrape.get("policy_ready", &[]) == Some(1.0)).await;
    assert_eq!(scrape.get("policy_connections", &[]), Some(1.0));
    assert_eq!(scrape.get("policy_addresses", &[("state", "ready")]), Some(1.0));
    assert_eq!(scrape.get("policy_addresses", &[("state", "failed")]), Some(0.0));
    assert_eq!(breaker(&scrape), [1.0, 0.0, 0.0]);
    for _ in 0..2 {
        program.post(COMMAND, "{}").await;
    }
    assert_eq!(breaker(&Scrape::of(&program).await), [0.0, 1.0, 0.0]);
}

#[tokio::test]
async fn a_breaker_that_lets_a_call_try() {
    let policy = Refusing::start(&[Act::Reset(Reason::CANCEL)]).await;
    let yaml = "channel: {breaker_failures: 1, breaker_open: 1ms}";
    let program = Running::of(configured(&policy.url(), "metrics-half-open", yaml)).await;
    program.post(COMMAND, "{}").await;
    Scrape::until(&program, |scrape| breaker(scrape) == [0.0, 0.0, 1.0]).await;
    program.post(COMMAND, "{}").await;
    assert_eq!(breaker(&Scrape::of(&program).await), [1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn a_policy_that_is_not_there() {
    let program = Running::of(configured("http://127.0.0.1:1", "metrics-nobody", "")).await;
    let scrape = Scrape::of(&program).await;
    assert_eq!(scrape.get("policy_ready", &[]), Some(0.0));
    assert_eq!(scrape.get("policy_connections", &[]), Some(0.0));
    Scrape::until(&program, |scrape| scrape.get("policy_addresses", &[("state", "failed")]) == Some(1.0)).await;
}

#[tokio::test]
async fn spans_that_nobody_takes() {
    let policy = Policy::allow().await;
    let program =
        Running::of(configured(&policy.url(), "metrics-spans", "traces: {endpoint: 'http://127.0.0.1:1'}")).await;
    assert_eq!(program.post(COMMAND, "{}").await.json()["nextCode"], 0);
    let lost = |scrape: &Scrape| scrape.get("spans_dropped", &[("reason", "collector")]) == Some(2.0);
    let scrape = Scrape::until(&program, lost).await;
    assert_eq!(scrape.get("spans_dropped", &[("reason", "queue")]), Some(0.0));
    assert_eq!(scrape.get("spans_exported", &[]), Some(0.0));
}
