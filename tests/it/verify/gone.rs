//! Policies that stop to answer, or to be.

use std::sync::{Arc, Mutex};

use axum::response::IntoResponse;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::policy::{bad_at, never, now};
use super::{named, outcomes, verify};
use crate::support::Policy;

/// The outcomes of a callback's checks, as in `passed failed not-run`.
fn row(report: &Value, callback: &str) -> String {
    let checks = named(&report["callbacks"], "callback", callback)["checks"].as_array().unwrap();
    checks.iter().map(|check| check["outcome"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_policy_that_hangs_on_everything_ends_the_run_soon() {
    let policy = Policy::start_async(|_| never(&Arc::default())).await;
    let args = ["--policy", &policy.url(), "--timeout", "1s"];
    let json = verify(&[&args[..], &["--json"]].concat()).await;
    assert_eq!(json.code, 1);
    let report = json.json();
    let service = outcomes(&report["service"]);
    for (check, outcome) in [("connection", "passed"), ("health", "failed"), ("reflection", "failed")] {
        assert_eq!(service[check], outcome, "{service:?}");
    }
    let callbacks = report["callbacks"].as_array().unwrap();
    assert_eq!(callbacks.len(), 53);
    for (at, callback) in callbacks.iter().enumerate() {
        let name = callback["callback"].as_str().unwrap();
        let row = row(&report, name);
        let expected = if at < 3 { "failed failed failed not-run" } else { "not-run not-run not-run not-run" };
        assert!(row.starts_with(expected) && row.ends_with("not-run"), "{name}: {row}");
    }
    let first = &callbacks[0]["checks"];
    assert_eq!(first[0]["message"], "does not answer within 1s");
    assert_eq!(first[3]["message"], "it does not answer");
    assert_eq!(report["stopped"], "the policy answered nothing of 3 callbacks in a row");

    let said = verify(&[&args[..], &["--only", "lifelike"]].concat()).await.out;
    assert_eq!(said.matches("answered nothing of 3 callbacks in a row").count(), 1, "{said}");
    assert!(said.contains("not run (50):"), "{said}");
}

#[tokio::test]
async fn a_callback_that_hangs_does_not_stop_the_others() {
    let policy = bad_at("Black", Box::new(|_| never(&Arc::default()))).await;
    let only = "beforeAddBlack,afterRemoveBlack,beforeImportFriends";
    let args = ["--policy", &policy.url(), "--only", only, "--timeout", "3s", "--json"];
    let report = verify(&args).await.json();
    let silent = "failed failed failed not-run not-run not-run not-run not-run not-run";
    assert_eq!(row(&report, "BeforeAddBlack"), silent);
    assert_eq!(row(&report, "AfterRemoveBlack"), format!("{silent} not-run"));
    assert_eq!(row(&report, "BeforeImportFriends"), ["passed"; 9].join(" "));
    assert_eq!(report["stopped"], Value::Null);
}

/// A policy with a runtime of its own, which ends with every connection as soon as it gets a large request.
fn mortal() -> Policy {
    let runtime = Runtime::new().unwrap();
    let life: Arc<Mutex<Option<Runtime>>> = Arc::default();
    let end = life.clone();
    let policy = runtime.spawn(bad_at(
        "Black",
        Box::new(move |call| {
            if call.message.len() > 800 << 10 {
                // All of it, and without an answer.
                end.lock().unwrap().take().unwrap().shutdown_background();
                return never(&Arc::default());
            }
            now(Ok(Vec::new()))
        }),
    ));
    let policy = std::thread::spawn(move || {
        let policy = runtime.block_on(policy).unwrap();
        *life.lock().unwrap() = Some(runtime);
        policy
    });
    policy.join().unwrap()
}

#[tokio::test]
async fn a_policy_that_dies_is_told_of_once_and_the_rest_is_not_run() {
    let only = "beforeAddBlack,afterRemoveBlack";
    let policy = mortal();
    let json = verify(&["--policy", &policy.url(), "--only", only, "--timeout", "30s", "--json"]).await;
    let report = json.json();
    let rest = "not-run not-run not-run not-run not-run not-run";
    assert_eq!(row(&report, "BeforeAddBlack"), format!("passed passed failed {rest}"), "{report:#}");
    assert_eq!(row(&report, "AfterRemoveBlack"), format!("{rest} not-run not-run not-run not-run"));
    let stopped = report["stopped"].as_str().unwrap();
    assert!(stopped.starts_with("the policy has been gone since BeforeAddBlack, huge: "), "{stopped}");
    assert_eq!(json.code, 1);

    let policy = mortal();
    let said = verify(&["--policy", &policy.url(), "--only", only, "--timeout", "30s"]).await.out;
    assert_eq!(said.lines().filter(|line| line.starts_with("ended early: ")).count(), 1, "{said}");
    assert!(said.contains("not run (1):\n  AfterRemoveBlack\n"), "{said}");
}

#[tokio::test]
async fn what_is_no_grpc_service_is_not_taken_for_a_policy() {
    let page = |status: http::StatusCode| async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(move || async move { (status, "no").into_response() });
        let server = tonic::transport::Server::builder()
            .add_routes(tonic::service::Routes::from(router))
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
        tokio::spawn(server);
        url
    };
    let ended = verify(&["--policy", &page(http::StatusCode::FORBIDDEN).await]).await;
    assert_eq!((ended.code, &*ended.out, ended.err.lines().count()), (1, "", 1), "{}", ended.err);
    assert!(ended.err.contains("it answers, but not gRPC: the answer is HTTP status 403"), "{}", ended.err);
    // It could be a policy without health: that is known when all callbacks were asked.
    let ended = verify(&["--policy", &page(http::StatusCode::NOT_FOUND).await, "--json"]).await;
    assert_eq!((ended.code, &*ended.err), (1, ""), "{}", ended.out);
    let report = ended.json();
    let implemented = named(&report["service"], "name", "implemented");
    let message = "HTTP status 404 from all of 53 callbacks: nothing there speaks the contract";
    assert_eq!((&implemented["outcome"], &implemented["message"]), (&"failed".into(), &message.into()));
    assert_eq!(report["totals"]["not_implemented"], 53);

    // One that takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let ended = verify(&["--policy", &url, "--timeout", "300ms"]).await;
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{}", ended.err);
}
