//! Routes: what is allowed without asking, as OpenIM and an operator see it.

use std::path::Path;

use hookgate::contract::{Callback, Timing};
use hookgate::openim::{self, Reading, Release};

use crate::support::program::{Running, configured, hookgate};
use crate::support::{Policy, Reply, denial, file, free};

const COMMAND: &str = "callbackBeforeSendSingleMsgCommand";

fn outcome(reply: &Reply) -> &str {
    reply.headers["hookgate-outcome"].to_str().unwrap()
}

/// A message of a single chat from this user.
fn message(user: &str, content_type: i32) -> String {
    let content = "MARKER";
    serde_json::json!({"sendID": user, "recvID": "u9", "contentType": content_type, "content": content}).to_string()
}

fn assert_unchanged(callback: &Callback, body: &str, reply: &Reply) {
    assert_eq!((reply.status.as_u16(), outcome(reply)), (200, "skipped"), "{}", callback.config_key);
    for release in Release::ALL {
        let reading = openim::read(callback, body.as_bytes(), &reply.body, release);
        let unchanged = matches!(&reading, Reading::Allowed(effects) if effects.is_empty());
        assert!(unchanged, "{} on {release:?}: {reading:?}", callback.config_key);
    }
}

#[tokio::test]
async fn every_callback_is_allowed_unchanged_and_the_policy_hears_nothing() {
    let policy = Policy::allow().await;
    let gate = Running::of(configured(&policy.url(), "routes-all", "routes: [{callbacks: '*', ask: none}]")).await;
    for callback in Callback::all() {
        assert_unchanged(callback, callback.example, &gate.post(callback.command, callback.example).await);
    }
    assert_eq!(policy.take_calls().len(), 0);
    let status = gate.status().await;
    assert_eq!(status["after_events"]["delivered"], 0, "{status}");
    let admin = format!("http://{}", gate.admin);
    let page = hookgate(&["status", "--admin", &admin]).output().await.unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert_eq!(page.matches("1 skipped (0.0% failed)").count(), Callback::all().len(), "{page}");
    // A command that this release does not know has no route.
    assert_eq!(outcome(&gate.post("callbackOfTomorrow", "{}").await), "allow");
    assert_eq!(policy.take_calls().len(), 1);
}

#[tokio::test]
async fn a_long_body_is_allowed_with_its_echoes() {
    let policy = Policy::allow().await;
    let gate = Running::of(configured(&policy.url(), "routes-long", "routes: [{callbacks: '*', ask: none}]")).await;
    let long = "x".repeat(300_000);
    for callback in Callback::all().iter().filter(|callback| callback.timing == Timing::Before) {
        let body = callback.example.trim_end().strip_suffix('}').unwrap();
        let body = format!("{body}, \"ofTomorrow\": \"{long}\"}}");
        assert_unchanged(callback, &body, &gate.post(callback.command, &body).await);
    }
    assert_eq!(policy.take_calls().len(), 0);
}

#[tokio::test]
async fn what_matches_is_skipped_and_all_else_is_asked_about() {
    let policy = Policy::start(|_| Ok(denial(5001, "no"))).await;
    let log = free("routes-decisions.jsonl");
    let yaml = format!(
        "log: debug\ndecisions: {{to: {}}}\nroutes:\n  - {{callbacks: [beforeSendSingleMsg], when: {{send_id: u1}}}}\n  \
         - {{name: notices, callbacks: [beforeSendSingleMsg], when: {{content_type: 1000..5000}}, ask: none}}",
        log.display()
    );
    let mut gate = Running::of(configured(&policy.url(), "routes-some", &yaml)).await;
    for (user, content_type, expected) in [
        ("u2", 1000, "skipped"),
        ("u2", 5000, "skipped"),
        ("u2", 101, "deny"),
        // The first route, which asks.
        ("u1", 1000, "deny"),
    ] {
        let reply = gate.post(COMMAND, &message(user, content_type)).await;
        assert_eq!(outcome(&reply), expected, "{user} {content_type}");
    }
    // Other callbacks have no route.
    let other = Callback::by_name("beforeAddFriend").unwrap();
    assert_eq!(outcome(&gate.post(other.command, other.example).await), "deny");
    assert_eq!(policy.take_calls().len(), 3);
    let line = gate.says("webhook skipped").await;
    assert!(line.contains("route=\"notices\"") && !line.contains("MARKER"), "{line}");
    let metrics = String::from_utf8(gate.ask("/metrics").await.body.to_vec()).unwrap();
    let series = metrics.lines().find(|line| line.contains("BeforeSendSingleMsg\"") && line.contains("\"skipped\""));
    assert!(series.is_some_and(|series| series.ends_with(" 2")), "{series:?}");
    gate.signal("-INT").await;
    assert_eq!(gate.end().await.0, Some(0));
    let decisions = std::fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> = decisions.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let routes: Vec<_> = lines.iter().map(|line| (line["outcome"].as_str().unwrap(), line["route"].as_str())).collect();
    assert_eq!(routes[..3], [("skipped", Some("notices")), ("skipped", Some("notices")), ("deny", None)]);
}

#[tokio::test]
async fn a_file_of_ids_is_reloaded_and_one_that_is_gone_changes_nothing() {
    let policy = Policy::allow().await;
    let ids = file("routes-ids.txt", "u1\n");
    let yaml = format!("routes: [{{callbacks: [beforeSendSingleMsg], cohort: {ids}, by: send_id, ask: none}}]");
    let mut gate = Running::of(configured(&policy.url(), "routes-reload", &yaml)).await;
    let outcomes = async |gate: &Running| {
        let mut outcomes = Vec::new();
        for user in ["u1", "u2"] {
            outcomes.push(outcome(&gate.post(COMMAND, &message(user, 101)).await).to_owned());
        }
        outcomes
    };
    assert_eq!(outcomes(&gate).await, ["skipped", "allow"]);
    std::fs::write(&ids, "u2\r\n").unwrap();
    gate.signal("-HUP").await;
    let line = gate.says("configuration reloaded").await;
    assert!(line.contains("changed=\"routes\""), "{line}");
    assert_eq!(outcomes(&gate).await, ["allow", "skipped"]);
    std::fs::remove_file(Path::new(&ids)).unwrap();
    gate.signal("-HUP").await;
    let line = gate.says("routes[0].cohort").await;
    assert!(line.contains("cannot read"), "{line}");
    gate.says("previous configuration stays in force").await;
    assert_eq!(outcomes(&gate).await, ["allow", "skipped"]);
}
