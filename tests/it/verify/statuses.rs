//! The advice on a status: what the fault is called, and what to change.

use std::sync::Arc;

use hookgate::contract::proto;
use prost::Message as _;
use tonic::{Code, Status};

use super::policy::{at_once, bad_at, never};
use super::verify;

#[tokio::test]
async fn the_advice_fits_the_status_and_its_text() {
    let (before, after) = ("BeforeAddBlack", "AfterRemoveBlack");
    for (at, code, text, fault, hint) in [
        (
            before,
            Code::InvalidArgument,
            "no",
            "INVALID_ARGUMENT for a denial",
            "answer OK with a denial in the response",
        ),
        (before, Code::FailedPrecondition, "no", "FAILED_PRECONDITION for a denial", "or PERMISSION_DENIED"),
        (before, Code::Aborted, "no", "ABORTED for a denial", "answer OK with a denial"),
        (before, Code::NotFound, "who?", "NOT_FOUND for a denial", "answer OK with a denial"),
        (after, Code::AlreadyExists, "again?", "ALREADY_EXISTS to an event", "hookgate delivers it again"),
        (before, Code::Unknown, "Exception calling application: 'x'", "an uncaught exception: UNKNOWN", "policy's log"),
        (before, Code::Unknown, "Unexpected <class 'KeyError'>: 'x'", "an uncaught exception: UNKNOWN", "catch it"),
        (after, Code::Unknown, "panic: x", "an uncaught exception: UNKNOWN", "delivers the event again"),
        (after, Code::Internal, "no disk", "INTERNAL", "hookgate delivers it again"),
        (before, Code::Unknown, "", "an uncaught exception: UNKNOWN", "catch it"),
        (before, Code::Internal, "internal error", "an uncaught exception: INTERNAL", "catch it"),
        (before, Code::Internal, "no disk", "INTERNAL", "answer OK, with a denial to deny"),
        (before, Code::DeadlineExceeded, "1s", "DEADLINE_EXCEEDED before the call's deadline", "grpc-timeout"),
        (before, Code::Cancelled, "context canceled", "CANCELLED before the call's deadline", "shorter deadline"),
        (
            before,
            Code::ResourceExhausted,
            "grpc: received message larger than max (9 vs. 4)",
            "RESOURCE_EXHAUSTED over the size of a request",
            "receive limit",
        ),
        (
            before,
            Code::OutOfRange,
            "Error, decoded message length too large",
            "OUT_OF_RANGE over the size of a request",
            "receive limit",
        ),
        (before, Code::ResourceExhausted, "busy", "RESOURCE_EXHAUSTED", "concurrent calls"),
        (before, Code::Unauthenticated, "no token", "UNAUTHENTICATED", "policy_tls"),
        (before, Code::Unavailable, "no database", "UNAVAILABLE", "policy is up"),
    ] {
        let policy = bad_at(at, at_once(move |_| Err(Status::new(code, text)))).await;
        let args = ["--policy", &policy.url(), "--only", &format!("{at},lifelike"), "--json"];
        let report = verify(&args).await.json();
        let faults = report["faults"].as_array().unwrap();
        assert_eq!((faults.len(), &faults[0]["fault"]), (1, &fault.into()), "{code:?} {text}: {faults:#?}");
        assert!(faults[0]["hint"].as_str().unwrap().contains(hint), "{code:?} {text}: {faults:#?}");
        assert_eq!(report["callbacks"][0]["checks"][0]["fault"], fault);
    }
}

#[tokio::test]
async fn no_answer_is_late_and_not_a_deadline_of_the_policy_s_own() {
    let policy = bad_at("BeforeAddBlack", Box::new(|_| never(&Arc::default()))).await;
    let args = ["--policy", &policy.url(), "--only", "beforeAddBlack,lifelike", "--timeout", "1s", "--json"];
    let report = verify(&args).await.json();
    assert_eq!(report["faults"][0]["fault"], "no answer in time", "{report:#}");
    assert!(report["faults"][0]["hint"].as_str().unwrap().contains("within the budget"));
    // As a server that reads grpc-timeout gives up by itself: any answer is near this deadline.
    let policy = bad_at("BeforeAddBlack", at_once(|_| Err(Status::deadline_exceeded("Deadline exceeded")))).await;
    let args = ["--policy", &policy.url(), "--only", "beforeAddBlack,lifelike", "--timeout", "250ms", "--json"];
    assert_eq!(verify(&args).await.json()["faults"][0]["fault"], "no answer in time");
}

#[tokio::test]
async fn an_invalid_reply_to_one_content_type_does_not_end_the_others() {
    let content = proto::BeforeMsgModifyResponse { content: Some("not JSON".to_owned()), ..Default::default() };
    let policy = bad_at("BeforeMsgModify", at_once(move |_| Ok(content.encode_to_vec()))).await;
    let said = verify(&["--policy", &policy.url(), "--only", "beforeMsgModify,content-types"]).await.out;
    assert!(said.contains("contentType 101") && said.contains("contentType 102"), "{said}");
}
