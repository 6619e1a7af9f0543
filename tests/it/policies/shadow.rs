//! A shadow: what is compared, and that nothing waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use hookgate::contract::Callback;
use http_body_util::Full;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};
use tokio::sync::mpsc;
use tonic::Status;

use super::{MODIFY, allows, header, start};
use crate::support::program::{Running, hookgate};
use crate::support::{Call, Policy, denial, free, method, nobody, send};

/// A policy that answers by a word of the operation ID.
async fn by_word(place: usize) -> Policy {
    Policy::without_health(move |call| {
        let word = call.metadata("openim-operation-id").unwrap_or_default();
        let word = word.split('-').nth(place).unwrap_or_default();
        let answer = match word.split_once(':').unwrap_or((word, "")) {
            ("deny", code) => Ok(denial(code.parse().expect("a code"), "MARKER")),
            ("change", to) => Ok(change(&call, to)),
            ("fail", _) => Err(Status::internal("on purpose")),
            _ => Ok(Vec::new()),
        };
        Box::pin(std::future::ready(answer))
    })
    .await
}

fn change(call: &Call, to: &str) -> Vec<u8> {
    let mut response = DynamicMessage::new(method(&call.rpc).output());
    response.set_field_by_name("content", Value::String(format!("{{\"content\":\"MARKER-{to}\"}}")));
    response.encode_to_vec()
}

async fn post(gate: &Running, operation_id: &str, body: &str) -> String {
    let command = Callback::by_name(MODIFY).unwrap().command;
    let uri = format!("http://{}/{command}", gate.webhooks);
    let request = http::Request::post(uri).header("operationID", operation_id);
    let reply = send(request.body(Full::from(body.to_owned())).unwrap()).await;
    header(&reply, "hookgate-outcome").to_owned()
}

/// Waits until the shadow was asked, or left out, so often; returns the counts by difference, and the whole report.
async fn compared(gate: &Running, webhooks: u64) -> (BTreeMap<String, u64>, serde_json::Value) {
    let found = async {
        loop {
            let report: serde_json::Value = gate.ask("/shadow").await.json();
            let mut counts = BTreeMap::new();
            for row in report["rows"].as_array().unwrap() {
                *counts.entry(row["difference"].as_str().unwrap().to_owned()).or_default() +=
                    row["count"].as_u64().unwrap();
            }
            let left_out = report["not_asked"].as_object().unwrap().values().map(|count| count.as_u64().unwrap());
            if counts.values().sum::<u64>() + left_out.sum::<u64>() == webhooks {
                return (counts, report);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("the shadow is asked")
}

#[tokio::test]
async fn each_difference_is_counted_and_told_without_content() {
    let (words, next) = (by_word(0).await, by_word(1).await);
    let log = free("policies-shadow.jsonl");
    let yaml = format!(
        "log: debug\ndecisions: {{to: {}}}\npolicies: {{words: {{url: \"{}\"}}, next: {{url: \"{}\"}}}}\n\
         routes: [{{policies: words, shadow: next}}]",
        log.display(),
        words.url(),
        next.url()
    );
    let gate = start("shadow", &yaml).await;
    let example = Callback::by_name(MODIFY).unwrap().example;
    let cases = [
        ("allow-allow", "allow", "same"),
        ("deny:5001-deny:5001", "deny", "same"),
        ("change:a-change:a", "changed", "same"),
        ("allow-deny:5001", "allow", "would_deny"),
        ("change:a-deny:5001", "changed", "would_deny"),
        ("deny:5001-allow", "deny", "would_allow"),
        ("deny:5001-deny:5002", "deny", "other_code"),
        ("change:a-change:b", "changed", "other_changes"),
        ("allow-change:b", "allow", "other_changes"),
        ("allow-fail", "allow", "shadow_failed"),
        ("fail-allow", "failed-closed:error", "live_failed"),
    ];
    let mut expected = BTreeMap::<String, u64>::new();
    for (operation_id, outcome, difference) in cases {
        assert_eq!(post(&gate, operation_id, example).await, outcome, "{operation_id}");
        *expected.entry(difference.to_owned()).or_default() += 1;
    }
    let (counts, report) = compared(&gate, cases.len() as u64).await;
    assert_eq!(counts, expected, "{report}");
    let row = |difference: &str| {
        let rows = report["rows"].as_array().unwrap().iter();
        rows.filter(|row| row["difference"] == difference).cloned().collect::<Vec<_>>().remove(0)
    };
    assert_eq!(row("other_changes")["fields"], serde_json::json!({"content": 2}));
    assert_eq!(row("would_allow")["examples"], serde_json::json!(["deny:5001-allow"]));
    let (asked, shadows) = (words.take_calls(), next.take_calls());
    assert_eq!(asked.len(), shadows.len());
    assert!(asked.iter().all(|call| call.metadata("hookgate-shadow").is_none()));
    assert!(shadows.iter().all(|call| call.metadata("hookgate-shadow") == Some("1")));
    assert_eq!(asked[0].message, shadows[0].message);

    let metrics = String::from_utf8(gate.ask("/metrics").await.body.to_vec()).unwrap();
    let series = "hookgate_shadow_verdicts_total{policy=\"next\",rpc=\"MessagePolicyService/BeforeMsgModify\",difference=\"would_deny\"} 2";
    assert!(metrics.lines().any(|line| line == series), "{metrics}");
    let admin = format!("http://{}", gate.admin);
    let page = hookgate(&["shadow", "--admin", &admin]).output().await.unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("would_allow") && page.contains("9.09%") && page.contains("content 2"), "{page}");

    gate.signal("-INT").await;
    let (_, said) = gate.end().await;
    let lines = std::fs::read_to_string(log).unwrap();
    let of_shadow = lines.lines().filter(|line| line.contains("\"outcome\":\"shadow\"")).collect::<Vec<_>>();
    let first: serde_json::Value = serde_json::from_str(of_shadow[0]).unwrap();
    assert_eq!((&first["policy"], &first["shadow"]["difference"]), (&"next".into(), &"would_deny".into()), "{first}");
    assert_eq!(
        (&first["shadow"]["live"]["outcome"], &first["shadow"]["shadow"]["code"]),
        (&"allow".into(), &5001.into())
    );
    assert!(
        !lines.contains("MARKER") && !said.contains("MARKER") && !page.contains("MARKER"),
        "{lines}\n{said}\n{page}"
    );
}

#[tokio::test]
async fn a_shadow_that_hangs_holds_up_nothing_and_is_bounded() {
    let words = allows().await;
    let (next, mut asked, release) = Policy::that_waits().await;
    let yaml = format!(
        "budget: 14s\npolicies: {{words: {{url: \"{}\"}}, next: {{url: \"{}\", calls: 2}}}}\n\
         routes: [{{policies: words, shadow: next}}]",
        words.url(),
        next.url()
    );
    let gate = start("shadow-hangs", &yaml).await;
    let example = Callback::by_name(MODIFY).unwrap().example;
    for _ in 0..20 {
        assert_eq!(post(&gate, "op", example).await, "allow");
    }
    asked.recv().await.expect("a call");
    release.send(true).unwrap();
    let (counts, report) = compared(&gate, 20).await;
    assert!(report["not_asked"]["next"].as_u64().unwrap() >= 1, "{report}");
    assert!(counts["same"] >= 2, "{report}");
    // Long bodies are left out.
    let mut body: serde_json::Value = serde_json::from_str(example).unwrap();
    body["ofTomorrow"] = "x".repeat(100_000).into();
    assert_eq!(post(&gate, "op", &body.to_string()).await, "allow");
    let (_, after) = compared(&gate, 21).await;
    assert_eq!(after["not_asked"]["next"].as_u64(), report["not_asked"]["next"].as_u64().map(|before| before + 1));
}

#[tokio::test]
async fn a_shadow_alone_makes_hookgate_not_ready() {
    let next = allows().await;
    let away = format!("http://{}", nobody().await);
    let yaml = format!(
        "policies: {{words: {{url: \"{away}\"}}, next: {{url: \"{}\"}}}}\nroutes: [{{policies: words, shadow: next}}]",
        next.url()
    );
    let gate = start("shadow-ready", &yaml).await;
    let ready = gate.ask("/readyz").await;
    assert_eq!(ready.status, 503, "{:?}", ready.body);
    let admin = format!("http://{}", gate.admin);
    let page = hookgate(&["status", "--admin", &admin]).output().await.unwrap();
    assert_eq!(page.status.code(), Some(1));
}

/// Starts a policy that decides about what comes from u1, and is the shadow for everybody else. Its shadow calls hang, as do
/// others with the operation ID `hang`; each shadow call is told of.
async fn both(name: &str, settings: &str) -> (Running, Policy, Policy, mpsc::UnboundedReceiver<()>) {
    let words = allows().await;
    let (asked, was_asked) = mpsc::unbounded_channel();
    let next = Policy::without_health(move |call| {
        let is_shadow = call.metadata("hookgate-shadow").is_some();
        if is_shadow {
            asked.send(()).expect("the test listens");
        }
        match is_shadow || call.metadata("openim-operation-id") == Some("hang") {
            true => Box::pin(std::future::pending()),
            false => Box::pin(std::future::ready(Ok(Vec::new()))),
        }
    })
    .await;
    let yaml = format!(
        "policies: {{words: {{url: \"{}\"}}, next: {{url: \"{}\", {settings}}}}}\nbudget: 2s\nroutes:\n  \
         - {{callbacks: {MODIFY}, when: {{send_id: u1}}, policies: next}}\n  - {{policies: words, shadow: next}}",
        words.url(),
        next.url()
    );
    (start(name, &yaml).await, words, next, was_asked)
}

/// The example of a message with this sender.
fn from(user: &str) -> String {
    let mut body: serde_json::Value = serde_json::from_str(Callback::by_name(MODIFY).unwrap().example).unwrap();
    body["sendID"] = user.into();
    body.to_string()
}

#[tokio::test]
async fn shadow_calls_take_no_room_from_those_that_decide() {
    let (gate, _words, _next, mut asked) = both("shadow-room", "calls: 1").await;
    assert_eq!(post(&gate, "op", &from("u2")).await, "allow");
    asked.recv().await.expect("a shadow call, which hangs");
    assert_eq!(post(&gate, "op", &from("u1")).await, "allow");
}

#[tokio::test]
async fn a_shadow_call_is_no_probe_of_a_breaker() {
    let settings = "channel: {breaker_failures: 1, breaker_open: 1ms}";
    let (gate, _words, _next, mut asked) = both("shadow-probe", settings).await;
    assert_eq!(post(&gate, "hang", &from("u1")).await, "failed-closed:deadline");
    assert_eq!(post(&gate, "op", &from("u2")).await, "allow");
    asked.recv().await.expect("a shadow call, which hangs");
    assert_eq!(post(&gate, "op", &from("u1")).await, "allow");
}

#[tokio::test]
async fn an_answer_of_a_shadow_may_be_long() {
    let words = allows().await;
    let next = Policy::without_health(|call| {
        let response = change(&call, &"x".repeat(500_000));
        Box::pin(std::future::ready(Ok(response)))
    })
    .await;
    let yaml = format!(
        "policies: {{words: {{url: \"{}\"}}, next: {{url: \"{}\"}}}}\nroutes: [{{policies: words, shadow: next}}]",
        words.url(),
        next.url()
    );
    let gate = start("shadow-long", &yaml).await;
    assert_eq!(post(&gate, "op", Callback::by_name(MODIFY).unwrap().example).await, "allow");
    let (counts, _) = compared(&gate, 1).await;
    assert_eq!(counts["other_changes"], 1);
}

#[tokio::test]
async fn events_go_to_a_shadow_that_wants_them_and_change_no_reply() {
    let words = allows().await;
    let next = Policy::start(|_| Err(Status::unavailable("on purpose"))).await;
    let yaml = |events: bool| {
        format!(
            "after: {{answer_within: 14s}}\npolicies: {{words: {{url: \"{}\"}}, next: {{url: \"{}\"}}}}\n\
             routes: [{{policies: words, shadow: {{policy: next, events: {events}}}}}]",
            words.url(),
            next.url()
        )
    };
    let callback = Callback::by_name("afterAddFriend").unwrap();
    for events in [false, true] {
        let gate = start(&format!("shadow-events-{events}"), &yaml(events)).await;
        let reply = gate.post(callback.command, callback.example).await;
        assert_eq!(header(&reply, "hookgate-outcome"), "allow");
        if events {
            let found = async {
                while gate.status().await["policies"][1]["after_events"]["backlog"]["events"] != 1 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), found).await.expect("it is kept for the shadow");
        } else {
            assert_eq!(gate.status().await["policies"][1]["after_events"]["backlog"]["events"], 0);
        }
        drop(gate);
        let calls = next.take_calls();
        let events_asked = calls.iter().filter(|call| call.rpc.contains("AfterAddFriend"));
        assert!(events_asked.clone().all(|call| call.metadata("hookgate-shadow") == Some("1")));
        assert_eq!(events_asked.count() > 0, events);
    }
}
