//! Webhooks: what became of them, how long they took, how many there are.

use std::time::Duration;

use hookgate::config::Class;
use hookgate::contract::{Callback, Timing};
use http::Method;
use http_body_util::Full;
use openmetrics_parser::{HistogramValue, OpenMetricsValue};
use tonic::Status;

use super::Scrape;
use crate::support::program::{Running, configured};
use crate::support::{Policy, send};

const RPC: &str = "MessagePolicyService/BeforeSendSingleMsg";
const COMMAND: &str = "callbackBeforeSendSingleMsgCommand";

fn histogram<'a>(scrape: &'a Scrape, phase: &str) -> &'a HistogramValue {
    match scrape.find("callback_duration_seconds", &[("rpc", RPC), ("phase", phase)]) {
        Some(OpenMetricsValue::Histogram(histogram)) => histogram,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_became_of_them() {
    let policy = Policy::start(|call| match call.metadata("openim-operation-id") {
        Some("denied") => Err(Status::permission_denied("no")),
        Some("failed") => Err(Status::internal("no")),
        _ => Ok(Vec::new()),
    })
    .await;
    let program = Running::of(configured(&policy.url(), "metrics-outcomes", "")).await;
    assert_eq!(Scrape::of(&program).await.sum("callbacks"), 0.0);
    for (what, times) in [("allowed", 4), ("denied", 3), ("failed", 2)] {
        for _ in 0..times {
            let uri = format!("http://{}/{COMMAND}", program.webhooks);
            let request = http::Request::post(uri).header("operationID", what).body(Full::from("{}")).unwrap();
            assert_eq!(send(request).await.status, 200);
        }
    }
    program.post(COMMAND, "[]").await;
    let scrape = Scrape::of(&program).await;
    let counted = |outcome| scrape.get("callbacks", &[("rpc", RPC), ("outcome", outcome)]);
    assert_eq!(counted("allow"), Some(4.0));
    assert_eq!(counted("deny"), Some(3.0));
    assert_eq!(counted("failed-closed:error"), Some(2.0));
    assert_eq!(counted("refused"), Some(1.0));
    // What has not happened yet is there, so that its first time is an increase.
    assert_eq!(counted("failed-closed:deadline"), Some(0.0));
    assert_eq!(scrape.sum("callbacks"), 10.0);
    // What is refused has no phases to the end.
    for phase in ["decode", "policy", "reply"] {
        assert_eq!(histogram(&scrape, phase).count, Some(9), "{phase}");
    }
    assert_eq!(scrape.count("callback_duration_seconds"), 3);
}

#[tokio::test]
async fn the_first_failure_of_a_callback_is_an_increase() {
    let policy = Policy::allow().await;
    let rules = "on_failure: {deadline: allow}";
    let program = Running::of(configured(&policy.url(), "metrics-first", rules)).await;
    let scrape = Scrape::of(&program).await;
    let of = |rpc, outcome| scrape.get("callbacks", &[("rpc", rpc), ("outcome", outcome)]);
    for rpc in [RPC, "FallbackPolicyService/UnknownCallback"] {
        assert_eq!(of(rpc, "failed-open:deadline"), Some(0.0));
        assert_eq!(of(rpc, "failed-closed:unavailable"), Some(0.0));
        // What no rule has come of it is left out, as is what is no failure.
        for outcome in ["failed-closed:deadline", "failed-open:unavailable", "allow"] {
            assert_eq!(of(rpc, outcome), None, "{outcome}");
        }
    }
    // One that fails open has the contract's rule.
    let open = |outcome| of("PushPolicyService/BeforeOnlinePush", outcome);
    assert_eq!((open("failed-open:unavailable"), open("failed-closed:unavailable")), (Some(0.0), None));
    let before = Callback::all().iter().filter(|callback| callback.timing == Timing::Before).count();
    assert_eq!(scrape.count("callbacks"), (before + 1) * Class::ALL.len());

    // Where OpenIM's own file says what comes, nothing else is there; what is unknown to it and to us may come.
    let openim = concat!(env!("CARGO_TARGET_TMPDIR"), "/metrics-first-webhooks.yml");
    std::fs::write(openim, "beforeSendSingleMsg: {enable: true}\nafterAddFriend: {enable: true}\n").unwrap();
    let yaml = format!("openim: {{webhooks: {openim}}}");
    let program = Running::of(configured(&policy.url(), "metrics-first-enabled", &yaml)).await;
    assert_eq!(Scrape::of(&program).await.count("callbacks"), 2 * Class::ALL.len());
}

#[tokio::test]
async fn how_long_they_took() {
    let policy = Policy::start_async(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            Ok(Vec::new())
        })
    })
    .await;
    let program = Running::of(configured(&policy.url(), "metrics-durations", "")).await;
    program.post(COMMAND, "{}").await;
    let scrape = Scrape::of(&program).await;
    let asked = histogram(&scrape, "policy");
    let sum = asked.sum.as_ref().unwrap().as_f64();
    assert!(sum >= 0.12, "{sum}");
    for bucket in &asked.buckets {
        let within = f64::from(u8::from(sum <= bucket.upper_bound));
        assert_eq!(bucket.count.as_f64(), within, "{} within {}", sum, bucket.upper_bound);
    }
    // The longest timeout that OpenIM takes is within a bucket.
    assert!(asked.buckets.iter().any(|bucket| bucket.upper_bound > 15.0 && bucket.upper_bound.is_finite()));
    for phase in ["decode", "reply"] {
        let own = histogram(&scrape, phase);
        assert_eq!(own.count, Some(1));
        assert!(own.sum.as_ref().unwrap().as_f64() > 0.0);
    }
}

#[tokio::test]
async fn how_many_there_are() {
    let (policy, _asked, release) = Policy::that_waits().await;
    let program = Running::of(configured(&policy.url(), "metrics-in-flight", "")).await;
    let scrape = Scrape::of(&program).await;
    assert_eq!(scrape.get("callbacks_in_flight", &[]), Some(0.0));
    let both = async { tokio::join!(program.post(COMMAND, "{}"), program.post(COMMAND, "{}")) };
    let mut both = std::pin::pin!(both);
    let in_flight = |scrape: &Scrape| scrape.get("callbacks_in_flight", &[]) == Some(2.0);
    let scrape = tokio::select! {
        _ = &mut both => panic!("nobody answered"),
        scrape = Scrape::until(&program, in_flight) => scrape,
    };
    assert_eq!(scrape.get("connections", &[]), Some(2.0));
    release.send_replace(true);
    both.await;
    let scrape = Scrape::until(&program, |scrape| scrape.get("connections", &[]) == Some(0.0)).await;
    assert_eq!(scrape.get("callbacks_in_flight", &[]), Some(0.0));
}

#[tokio::test]
async fn requests_that_are_none() {
    let policy = Policy::allow().await;
    let program = Running::of(configured(&policy.url(), "metrics-refused", "")).await;
    let ask = async |method: Method, path: &str| {
        let uri = format!("http://{}{path}", program.webhooks);
        send(http::Request::builder().method(method).uri(uri).body(Full::default()).unwrap()).await
    };
    ask(Method::GET, "/callbackBeforeSendSingleMsgCommand").await;
    for path in ["/", "/favicon.ico"] {
        ask(Method::POST, path).await;
    }
    let scrape = Scrape::of(&program).await;
    assert_eq!(scrape.get("requests_refused", &[("reason", "no_post")]), Some(1.0));
    assert_eq!(scrape.get("requests_refused", &[("reason", "no_callback")]), Some(2.0));
    assert_eq!(scrape.sum("callbacks"), 0.0);
}
