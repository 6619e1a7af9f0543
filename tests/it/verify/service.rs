//! Policies whose health, reflection or choice of callbacks is odd.

use hookgate::contract::Callback;
use serde_json::Value;
use tonic::Status;
use tonic_health::pb::health_check_response::ServingStatus;

use super::policy::{Behave, at_once, lists, lists_all, says, serving, with};
use super::{named, outcomes, verify, verify_with};

fn allow() -> Behave {
    at_once(|_| Ok(Vec::new()))
}

fn nothing() -> Result<Vec<u8>, Status> {
    Err(Status::unimplemented("not here"))
}

/// What a check of the service says; every other has passed.
fn only(report: &Value, check: &str, outcome: &str) -> String {
    for (name, ended) in outcomes(&report["service"]) {
        assert_eq!(ended, if name == check { outcome } else { "passed" }, "{name} of {:#}", report["service"]);
    }
    named(&report["service"], "name", check)["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn health_and_reflection_are_followed_where_they_are_served() {
    let relation = "openim.policy.v1.RelationPolicyService";
    for (health, reflection, check, outcome, word) in [
        (says(ServingStatus::NotServing), lists_all(), "health", "failed", "health says NOT_SERVING"),
        (says(ServingStatus::Unknown), lists_all(), "health", "failed", "health says UNKNOWN"),
        (Err(Status::not_found("\"\"?")), lists_all(), "health", "warning", "status NOT_FOUND"),
        (Err(Status::unavailable("away")), lists_all(), "health", "failed", "status UNAVAILABLE \"away\""),
        (nothing(), lists_all(), "health", "passed", "hookgate then takes any answer as ready"),
        (serving(), nothing(), "reflection", "passed", "grpcurl needs -proto"),
        (serving(), lists(["grpc.health.v1.Health"]), "reflection", "failed", relation),
        (serving(), Ok(vec![0xff; 9]), "reflection", "failed", "status"),
    ] {
        let policy = with(health, reflection, allow()).await;
        let args = ["--policy", &policy.url(), "--only", "beforeAddBlack", "--json"];
        let ended = verify(&args).await;
        let report = ended.json();
        let said = only(&report, check, outcome);
        assert!(said.contains(word), "{said}");
        assert_eq!(ended.code, i32::from(outcome == "failed"), "{said}");
        let outcomes = outcomes(&report["callbacks"][0]["checks"]);
        assert!(outcomes.values().all(|outcome| outcome == "passed"), "{outcomes:?}");
    }
    let older = |lists: Result<Vec<u8>, Status>| {
        at_once(move |call| match call.rpc.starts_with("/grpc.reflection.v1alpha.") {
            true => lists.clone(),
            false => Ok(Vec::new()),
        })
    };
    for (lists, code) in [(lists_all(), 0), (lists(["grpc.health.v1.Health"]), 1)] {
        let policy = with(serving(), nothing(), older(lists)).await;
        let ended = verify(&["--policy", &policy.url(), "--only", "beforeAddBlack,reflection"]).await;
        assert_eq!((ended.code, ended.out.contains("grpcurl")), (code, false), "v1alpha will do: {}", ended.out);
    }
    let policy = with(serving(), lists([relation]), allow()).await;
    let ended = verify(&["--policy", &policy.url(), "--only", "beforeAddBlack"]).await;
    assert_eq!(ended.code, 0, "it need not list what it does not implement: {}", ended.out);
}

#[tokio::test]
async fn what_is_not_implemented_is_listed_and_no_failure() {
    let some = at_once(|call| match call.rpc.ends_with("/AfterRemoveBlack") {
        true => Ok(Vec::new()),
        false => nothing(),
    });
    let policy = with(nothing(), nothing(), some).await;
    let ended = verify(&["--policy", &policy.url()]).await;
    assert_eq!((ended.code, &*ended.err), (0, ""), "{}", ended.out);
    for line in [
        "AfterRemoveBlack  ok  10 checks",
        "note: health: not served; hookgate then takes any answer as ready",
        "note: reflection: not served; grpcurl needs -proto",
        "not implemented (52):",
        "verify: 14 checks, 0 failed, 0 warnings, 52 callbacks not implemented",
    ] {
        assert_eq!(ended.out.lines().filter(|found| *found == line).count(), 1, "{line}\n{}", ended.out);
    }
    assert!(ended.out.contains("note: implemented: the rpc UnknownCallback is not: "), "{}", ended.out);
    assert!(ended.out.lines().all(|line| line.len() <= 100), "{}", ended.out);
    let listed = Callback::all().iter().filter(|callback| ended.out.contains(callback.method()));
    assert_eq!(listed.count(), 53);
    let narrow = verify_with(&["--policy", &policy.url(), "--only", "lifelike"], &[("COLUMNS", "40")]).await;
    assert!(narrow.out.contains("not implemented (52):\n  BeforeCreateSingleChatConversations,\n  "), "{}", narrow.out);
    assert!(narrow.out.lines().all(|line| line.len() <= 40), "{}", narrow.out);
}

/// As of connect-go, connect-node and plain HTTP routers.
#[tokio::test]
async fn a_policy_that_answers_404_to_what_it_does_not_serve_is_judged_by_what_it_serves() {
    let served = |path: &str| path.ends_with("/AfterRemoveBlack") || path.ends_with("/BeforeAddBlack");
    let denies = at_once(|call| match call.rpc.ends_with("/BeforeAddBlack") {
        true => Err(Status::internal("broken")),
        false => Ok(Vec::new()),
    });
    let policy = crate::support::Policy::routing(served, denies).await;
    let ended = verify(&["--policy", &policy.url(), "--skip", "beforeAddBlack"]).await;
    assert_eq!((ended.code, &*ended.err), (0, ""), "{}", ended.out);
    for line in [
        "AfterRemoveBlack  ok  10 checks",
        "note: health: not served; hookgate then takes any answer as ready",
        "note: reflection: not served; grpcurl needs -proto",
        "not implemented (51):",
        "verify: 14 checks, 0 failed, 0 warnings, 51 callbacks not implemented",
    ] {
        assert_eq!(ended.out.lines().filter(|found| *found == line).count(), 1, "{line}\n{}", ended.out);
    }
    let ended =
        verify(&["--policy", &policy.url(), "--only", "beforeAddBlack,beforeSendSingleMsg,lifelike", "--json"]).await;
    let report = ended.json();
    let lifelike = &named(&report["callbacks"], "callback", "BeforeAddBlack")["checks"][0];
    assert_eq!((ended.code, &lifelike["outcome"]), (1, &"failed".into()), "{report:#}");
    assert_eq!(named(&report["callbacks"], "callback", "BeforeSendSingleMsg")["implemented"], false);
}

#[tokio::test]
async fn a_policy_that_implements_nothing_that_was_asked_for_fails() {
    let policy = with(serving(), lists_all(), at_once(|_| nothing())).await;
    for args in [&[] as &[&str], &["--only", "beforeAddBlack,huge"]] {
        let ended = verify(&[&["--policy", &policy.url(), "--json"], args].concat()).await;
        let said = only(&ended.json(), "implemented", "failed");
        assert!(ended.code == 1 && said.contains("UNIMPLEMENTED"), "{said}");
    }
}

#[tokio::test]
async fn a_fallback_that_fails_is_a_warning() {
    let bad = at_once(|call| match call.rpc.ends_with("/UnknownCallback") {
        true => Err(Status::internal("what is that?")),
        false => Ok(Vec::new()),
    });
    let policy = with(serving(), lists_all(), bad).await;
    let ended = verify(&["--policy", &policy.url(), "--only", "beforeAddBlack", "--json"]).await;
    let said = only(&ended.json(), "implemented", "warning");
    assert!(ended.code == 0 && said.contains("UnknownCallback: status INTERNAL"), "{said}");
}
