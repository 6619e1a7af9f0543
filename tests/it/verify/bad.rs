//! Policies that are bad in one way: the check that is for it fails, and says so; every other passes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hookgate::contract::proto::{self, Denial};
use hookgate::contract::{Callback, Timing};
use hookgate::internals::Check;
use prost_reflect::prost::Message;
use serde_json::{Value, json};
use tokio::sync::watch;
use tonic::Status;

use super::policy::{Behave, at_once, bad_at, never, now};
use super::{named, outcomes, verify};
use crate::support::{Call, Policy};

/// A policy that is bad in one way.
struct Bad {
    what: &'static str,
    /// The callback that shows it.
    at: &'static str,
    behave: Behave,
    /// The checks that fail because of it, the first of which says the words.
    fails: &'static [&'static str],
    /// The checks that end in a warning because of it.
    warns: &'static [&'static str],
    words: &'static [&'static str],
}

/// Those of a Before callback.
const ALL_BEFORE: &[&str] =
    &["lifelike", "empty", "huge", "unicode", "null-laden", "unknown-fields", "cancelled", "deadline", "concurrent"];

/// Those of them that send what OpenIM could send.
const BUT_EMPTY: &[&str] =
    &["lifelike", "huge", "unicode", "null-laden", "unknown-fields", "cancelled", "deadline", "concurrent"];

/// A policy that allows, except where this says otherwise.
fn unless(odd: impl Fn(&Call) -> Option<Status> + Send + Sync + 'static) -> Behave {
    at_once(move |call| odd(call).map_or(Ok(Vec::new()), Err))
}

fn always(response: impl Message) -> Behave {
    let response = response.encode_to_vec();
    at_once(move |_| Ok(response.clone()))
}

/// A policy that hangs until calls of a check are given up, and then does this with the next one.
fn after_giving_up(check: &'static str, then: fn(&Arc<AtomicBool>) -> crate::support::Answer) -> Behave {
    let given_up = Arc::new(AtomicBool::new(false));
    // Once: calls that are late are given up one by one, and long after the check.
    let fresh = AtomicBool::new(true);
    Box::new(move |call| {
        if is_of(&call, check) {
            never(&given_up)
        } else if given_up.load(Ordering::SeqCst) && fresh.swap(false, Ordering::SeqCst) {
            then(&Arc::default())
        } else {
            now(Ok(Vec::new()))
        }
    })
}

/// Whether a call is one of a check's own.
fn is_of(call: &Call, check: &str) -> bool {
    call.metadata("openim-operation-id").unwrap().ends_with(&format!("-{check}"))
}

fn fails_first() -> Behave {
    let first = AtomicBool::new(true);
    unless(move |_| first.swap(false, Ordering::SeqCst).then(|| Status::internal("not\u{7} yet")))
}

fn has_text(call: &Call, text: &str) -> bool {
    String::from_utf8_lossy(&call.message).contains(text)
}

/// Refuses the second delivery of an event.
fn remembers_events() -> Behave {
    let seen = Mutex::new(HashSet::new());
    unless(move |call| {
        let new = seen.lock().unwrap().insert(call.metadata("hookgate-event-id").unwrap().to_owned());
        (!new).then(|| Status::already_exists("been there"))
    })
}

/// Takes 32 calls of the check at once, holds them, and refuses the 33rd.
fn takes_32_at_once() -> Behave {
    let (calls, full) = (AtomicUsize::new(0), watch::Sender::new(false));
    Box::new(move |call| {
        if !is_of(&call, "concurrent") {
            return now(Ok(Vec::new()));
        }
        if calls.fetch_add(1, Ordering::SeqCst) == 32 {
            full.send_replace(true);
            return now(Err(Status::resource_exhausted("crowded")));
        }
        let mut full = full.subscribe();
        Box::pin(async move {
            full.wait_for(|full| *full).await.unwrap();
            Ok(Vec::new())
        })
    })
}

fn bad() -> Vec<Bad> {
    let bad = |what, at, behave, fails, words| Bad { what, at, behave, fails, warns: &[], words };
    let warn = |what, at, behave, warns, words| Bad { what, at, behave, fails: &[], warns, words };
    let denial = |code, message: &str| Some(Denial { code, message: message.to_owned(), detail: String::new() });
    let name = || Some("Bob".to_owned());
    vec![
        bad(
            "INTERNAL to the first",
            "BeforeAddBlack",
            fails_first(),
            &["lifelike"],
            &["status INTERNAL \"not\u{fffd} yet\"", "class error", "answer OK, with a denial"],
        ),
        bad(
            "nothing: OpenIM sends no request without a field",
            "BeforeAddBlack",
            unless(|call| call.message.is_empty().then(|| Status::internal("no owner"))),
            &[],
            &[],
        ),
        bad(
            "a panic over nothing",
            "BeforeAddBlack",
            at_once(|call| {
                assert!(!call.message.is_empty(), "this panic is part of a test");
                Ok(Vec::new())
            }),
            &["empty"],
            &["the call was cut off", "look at its log"],
        ),
        bad(
            "an exception over a quoted message",
            "BeforeSendGroupMsg",
            unless(|call| {
                has_text(call, "quoteMessage\":{").then(|| Status::unknown("Exception calling application: 'x'"))
            }),
            &["content-types"],
            &["contentType 114: status UNKNOWN", "exception"],
        ),
        bad(
            "no answer to a dismissal",
            "BeforeGroupOnlinePush",
            unless(|call| {
                let request = proto::BeforeGroupOnlinePushRequest::decode(&*call.message).unwrap();
                let is_dismissal = request.message.is_some_and(|message| message.content_type == 1511);
                is_dismissal.then(|| Status::internal("what is that?"))
            }),
            &["must-allow"],
            &["contentType 1511: status INTERNAL \"what is that?\""],
        ),
        warn(
            "INVALID_ARGUMENT to what is long",
            "BeforeAddBlack",
            unless(|call| (call.message.len() > 800 << 10).then(|| Status::invalid_argument("long"))),
            &["huge"],
            &["INVALID_ARGUMENT", "answer OK with a denial"],
        ),
        bad(
            "a small receive limit",
            "BeforeAddBlack",
            unless(|call| (call.message.len() > 800 << 10).then(|| Status::resource_exhausted("too large"))),
            &["huge"],
            &["RESOURCE_EXHAUSTED", "class overloaded", "raise the receive limit"],
        ),
        bad(
            "not all of Unicode",
            "BeforeAddBlack",
            unless(|call| has_text(call, "\u{202e}").then(|| Status::unknown("which way?"))),
            &["unicode"],
            &["status UNKNOWN \"which way?\""],
        ),
        bad(
            "no look at what is absent",
            "BeforeUpdateUserInfoEx",
            unless(|call| {
                let request = proto::BeforeUpdateUserInfoExRequest::decode(&*call.message).unwrap();
                let odd = request.nick_name.is_none() && !request.user_id.is_empty();
                odd.then(|| Status::internal("unwrap on a None"))
            }),
            &["null-laden"],
            &["unwrap on a None", "optional"],
        ),
        bad(
            "nothing new, please",
            "BeforeAddBlack",
            unless(|call| {
                let request = proto::BeforeAddBlackRequest::decode(&*call.message).unwrap();
                (!request.unknown_fields.is_empty()).then(|| Status::invalid_argument("unknown field"))
            }),
            &["unknown-fields"],
            &["INVALID_ARGUMENT", "unknown_fields"],
        ),
        bad(
            "each event once",
            "AfterRemoveBlack",
            remembers_events(),
            &["duplicate"],
            &["the second delivery: status ALREADY_EXISTS", "at least once"],
        ),
        bad(
            "an error after a call that was given up",
            "BeforeAddBlack",
            after_giving_up("cancelled", |_| now(Err(Status::internal("poisoned")))),
            &["cancelled"],
            &["after calls that were cancelled: status INTERNAL \"poisoned\""],
        ),
        bad(
            "a hang after a call that was given up",
            "BeforeAddBlack",
            after_giving_up("cancelled", never),
            &["cancelled"],
            &["after calls that were cancelled: does not answer within 4.5s"],
        ),
        bad(
            "a hang after a call without time",
            "BeforeAddBlack",
            after_giving_up("deadline", never),
            &["deadline"],
            &["after calls with a deadline of 1 ms: does not answer within 4.5s"],
        ),
        bad(
            "one lock, and a short queue",
            "BeforeAddBlack",
            takes_32_at_once(),
            &["concurrent"],
            &["1 of 64 calls, one of them: status RESOURCE_EXHAUSTED \"crowded\""],
        ),
        bad(
            "noise",
            "BeforeAddBlack",
            at_once(|_| Ok(vec![0xff; 9])),
            ALL_BEFORE,
            &["an invalid reply", "not a protobuf message"],
        ),
        bad(
            "an empty change",
            "BeforeSetFriendRemark",
            always(proto::BeforeSetFriendRemarkResponse { remark: Some(String::new()), denial: None }),
            BUT_EMPTY,
            &["the change of remark must not be empty"],
        ),
        bad(
            "a change of what was not sent",
            "BeforeUpdateUserInfoEx",
            always(proto::BeforeUpdateUserInfoExResponse { nick_name: name(), ..Default::default() }),
            &["null-laden"],
            &["the change of nickName may be given only where the request has it"],
        ),
        bad(
            "the response of another rpc",
            "BeforeAddBlack",
            always(proto::BeforeSetFriendRemarkResponse { remark: name(), denial: None }),
            ALL_BEFORE,
            &["an invalid reply", "has no field 2"],
        ),
        bad(
            "UNAVAILABLE",
            "BeforeAddBlack",
            unless(|_| Some(Status::unavailable("the database is away"))),
            BUT_EMPTY,
            &["status UNAVAILABLE \"the database is away\"", "class unavailable"],
        ),
        bad(
            "UNIMPLEMENTED for some",
            "BeforeAddBlack",
            unless(|call| has_text(call, "\u{202e}").then(|| Status::unimplemented("later"))),
            &["unicode"],
            &["UNIMPLEMENTED", "it answers other requests of this rpc"],
        ),
        warn(
            "a denial with code 1",
            "BeforeAddBlack",
            always(proto::BeforeAddBlackResponse { denial: denial(1, "no") }),
            ALL_BEFORE,
            &["a denial with code 1: hookgate sends 5000 instead"],
        ),
        warn(
            "a denial without words",
            "BeforeAddBlack",
            always(proto::BeforeAddBlackResponse { denial: denial(5001, "") }),
            ALL_BEFORE,
            &["a denial without a message"],
        ),
        warn(
            "a denial with nothing in it",
            "BeforeAddBlack",
            always(proto::BeforeAddBlackResponse { denial: denial(0, "") }),
            ALL_BEFORE,
            &["code 0: hookgate sends 5000 instead", "a denial without a message"],
        ),
        warn(
            "a denial that is a book",
            "BeforeAddBlack",
            always(proto::BeforeAddBlackResponse { denial: denial(5001, &"no ".repeat(2000)) }),
            ALL_BEFORE,
            &["a denial with a text of 6000 bytes: hookgate cuts it after 4096"],
        ),
        warn(
            "a denial that is not UTF-8",
            "BeforeAddBlack",
            at_once(|_| Ok(vec![0x0a, 4, 0x12, 2, 0xff, 0xff])),
            ALL_BEFORE,
            &["a denial in a response that cannot be read", "send the response of this rpc"],
        ),
        bad(
            "nothing: a denial is fine",
            "BeforeAddBlack",
            always(proto::BeforeAddBlackResponse { denial: denial(5001, "no") }),
            &[],
            &[],
        ),
        bad(
            "nothing: so is PERMISSION_DENIED",
            "BeforeAddBlack",
            unless(|_| Some(Status::permission_denied("no"))),
            &[],
            &[],
        ),
    ]
}

/// Runs a bad policy beside a good one.
async fn run(bad: Bad) {
    let Bad { what, at, behave, fails, warns, words } = bad;
    let policy = bad_at(at, behave).await;
    let good = if at == "AfterRemoveBlack" { "BeforeAddBlack" } else { "AfterRemoveBlack" };
    let ended = verify(&["--policy", &policy.url(), "--only", &format!("{at},{good}"), "--json"]).await;
    let report = ended.json();
    let checks = &named(&report["callbacks"], "callback", at)["checks"];
    for (check, outcome) in outcomes(checks) {
        let expected = match () {
            () if fails.contains(&&*check) => "failed",
            () if warns.contains(&&*check) => "warning",
            () => "passed",
        };
        assert_eq!(outcome, expected, "{what}: {check} of {checks:#}");
    }
    if let Some(first) = fails.first().or(warns.first()) {
        let first = named(checks, "name", first);
        let text = |key: &str| first[key].as_str().unwrap_or_default();
        let said = format!("{}\n{}\n{}", text("message"), text("hint"), text("sent"));
        assert!(words.iter().all(|word| said.contains(word)), "{what}: {said}");
    }
    let others = [outcomes(&named(&report["callbacks"], "callback", good)["checks"]), outcomes(&report["service"])];
    assert!(others.iter().flatten().all(|(_, outcome)| outcome == "passed"), "{what}: {others:?}");
    let totals = &report["totals"];
    assert_eq!((&totals["failed"], &totals["warnings"]), (&fails.len().into(), &warns.len().into()), "{what}");
    assert_eq!((&report["stopped"], &totals["not_run"]), (&Value::Null, &0.into()), "{what}");
    assert_eq!(ended.code, i32::from(!fails.is_empty()), "{what}: warnings are no failures");
}

#[tokio::test]
async fn every_check_of_a_callback_is_there_for_something_and_fails_alone() {
    let table = bad();
    // `own.rs` has the requests of one's own.
    for check in Check::OF_CALLBACK.iter().filter(|check| check.name != "requests") {
        let alone = |bad: &&Bad| bad.fails == [check.name];
        assert!(table.iter().any(|bad| alone(&bad)), "nothing trips {} alone", check.name);
    }
    for bad in table {
        run(bad).await;
    }
}

#[tokio::test]
async fn a_first_delivery_that_fails_is_the_fault_of_every_other_check() {
    let policy = Policy::start(|call| match call.rpc.ends_with("/AfterRemoveBlack") {
        true => Err(Status::internal("no database")),
        false => Err(Status::unimplemented("")),
    })
    .await;
    let only = "afterRemoveBlack,lifelike,duplicate";
    let report = verify(&["--policy", &policy.url(), "--only", only, "--json"]).await.json();
    let faults = report["faults"].as_array().unwrap();
    assert_eq!((faults.len(), &faults[0]["checks"]), (1, &json!(["lifelike", "duplicate"])), "{report:#}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_was_sent_what_came_and_what_to_change() {
    let policy = bad_at(
        "BeforeAddBlack",
        unless(|call| match call.message.is_empty() {
            true => Some(Status::invalid_argument("no owner")),
            false => has_text(call, "\u{202e}").then(|| Status::internal("\u{1b}[31mwhich way?")),
        }),
    )
    .await;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify-bad.xml");
    let args = ["--policy", &policy.url(), "--only", "beforeAddBlack", "--junit", file.to_str().unwrap()];
    let ended = verify(&args).await;
    let expected = "service         ok  4 checks\n\
        BeforeAddBlack  FAILED  9 checks, 1 failed\n\
        \n\
        FAILED  INTERNAL (BeforeAddBlack)\n\
        \x20 checks  unicode\n\
        \x20 sent    every text with emoji, right-to-left, combining marks, NUL, U+FFFD, U+2028\n\
        \x20 came    status INTERNAL \"\u{fffd}[31mwhich way?\", a failure of class error\n\
        \x20 change  answer OK, with a denial to deny; any other status but PERMISSION_DENIED is a failure, and\n\
        \x20         the operator's rule decides\n\
        \n\
        note: empty: status INVALID_ARGUMENT, which is no fault: OpenIM never sends such a request\n\
        \x20 (BeforeAddBlack)\n\
        verify: 13 checks, 1 failed, 0 warnings, 0 callbacks not implemented\n";
    assert_eq!((ended.code, &*ended.out, &*ended.err), (1, expected, ""));

    let xml = std::fs::read_to_string(&file).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((junit.tests, junit.failures, junit.errors), (13, 1, 0));
    assert!(xml.contains("fault: INTERNAL\nsent: every text") && xml.contains("\ncame: status INTERNAL"), "{xml}");
}

#[tokio::test]
async fn a_fault_of_many_callbacks_is_told_once_with_all_of_them() {
    let policy = bad_at(
        "",
        at_once(|call| match call.rpc.contains("/Before") && !call.message.is_empty() {
            true => Err(Status::invalid_argument(format!("not you, {}", call.rpc))),
            false => Ok(Vec::new()),
        }),
    )
    .await;
    let args = ["--policy", &policy.url(), "--only", "lifelike,empty"];
    let ended = verify(&args).await;
    let before = Callback::all().iter().filter(|callback| callback.timing == Timing::Before).count();
    let title = format!("FAILED  INVALID_ARGUMENT for a denial ({before} callbacks: ");
    assert_eq!((ended.code, ended.out.matches(&title).count()), (1, 1), "{}", ended.out);
    assert!(ended.out.matches("  came    ").count() == 3, "the first three answers: {}", ended.out);
    assert!(ended.out.lines().all(|line| line.chars().count() <= 100), "{}", ended.out);
    let report = verify(&[&args[..], &["--json"]].concat()).await.json();
    let faults = report["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    let (fault, callbacks) = (&faults[0], faults[0]["callbacks"].as_array().unwrap());
    assert_eq!((callbacks.len(), &fault["outcome"]), (before, &"failed".into()));
    assert_eq!(fault["checks"].as_array().unwrap(), &["lifelike"]);
    assert!(fault["hint"].as_str().unwrap().contains("answer OK with a denial in the response"), "{fault:#}");
}
