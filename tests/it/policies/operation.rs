//! Operation of several policies: headers, log, decision log, status, metrics, limits, reload.

use std::path::Path;

use hookgate::contract::Callback;
use tonic::Status;

use super::{FRIEND, allows, header, start};
use crate::support::program::{Running, hookgate};
use crate::support::{Policy, denial, file, free, nobody};

const ADD_BLACK: &str = "beforeAddBlack";

async fn post(gate: &Running, key: &str) -> String {
    let callback = Callback::by_name(key).unwrap();
    let reply = gate.post(callback.command, callback.example).await;
    format!("{} {}", header(&reply, "hookgate-outcome"), header(&reply, "hookgate-policies")).trim().to_owned()
}

#[tokio::test]
async fn each_callback_goes_to_its_policy_with_its_metadata_which_a_reload_takes() {
    let (words, friends) = (allows().await, Policy::start(|_| Ok(denial(5001, "no"))).await);
    let tenant = file("policies-tenant.txt", "MARKER-blue\n");
    let yaml = format!(
        "log: trace\npolicies:\n  words: {{url: \"{}\", metadata: {{x-tenant: {tenant}}}}}\n  \
         friends: {{url: \"{}\"}}\nroutes: [{{callbacks: {FRIEND}, policies: friends}}, {{policies: words}}]",
        words.url(),
        friends.url()
    );
    let mut gate = start("metadata", &yaml).await;
    assert_eq!(post(&gate, FRIEND).await, "deny friends=deny");
    assert_eq!(post(&gate, ADD_BLACK).await, "allow words=allow");
    let (asked, denied) = (words.take_calls(), friends.take_calls());
    assert_eq!((asked.len(), denied.len()), (1, 1));
    assert_eq!(asked[0].metadata("x-tenant"), Some("MARKER-blue"));
    assert_eq!(denied[0].metadata("x-tenant"), None);
    // A command of tomorrow takes the route without any condition.
    assert_eq!(header(&gate.post("callbackOfTomorrow", "{}").await, "hookgate-policies"), "words=allow");

    std::fs::write(&tenant, "green\n").unwrap();
    gate.signal("-HUP").await;
    let line = gate.says("configuration reloaded").await;
    assert!(line.contains("changed=\"policies.words\""), "{line}");
    words.take_calls();
    assert_eq!(post(&gate, ADD_BLACK).await, "allow words=allow");
    assert_eq!(words.take_calls()[0].metadata("x-tenant"), Some("green"));
    std::fs::remove_file(Path::new(&tenant)).unwrap();
    gate.signal("-HUP").await;
    gate.says("previous configuration stays in force").await;
    gate.signal("-INT").await;
    let (code, said) = gate.end().await;
    assert_eq!(code, Some(0));
    assert!(!said.contains("MARKER"), "{said}");
}

#[tokio::test]
async fn a_reload_changes_the_url_and_the_rules_of_a_policy_and_not_which_there_are() {
    let (first, second) = (allows().await, Policy::start(|_| Ok(denial(5001, "no"))).await);
    let yaml = |words: &str, friends: &str| {
        format!(
            "policies: {{words: {{url: \"{words}\"}}, {friends}: {{url: \"{words}\", on_failure: allow}}}}\n\
             routes: [{{callbacks: {FRIEND}, policies: {friends}}}, {{policies: words}}]"
        )
    };
    let mut gate = start("reload", &yaml(&first.url(), "friends")).await;
    assert_eq!(post(&gate, FRIEND).await, "allow friends=allow");
    file("policies-reload.yaml", yaml(&second.url(), "friends"));
    gate.signal("-HUP").await;
    let line = gate.says("configuration reloaded").await;
    assert!(line.contains("policies.friends, policies.words"), "{line}");
    gate.says("switched to new policy channel").await;
    gate.says("switched to new policy channel").await;
    assert_eq!(post(&gate, FRIEND).await, "deny friends=deny");
    assert_eq!(post(&gate, ADD_BLACK).await, "deny words=deny");
    // Another name is another policy.
    file("policies-reload.yaml", yaml(&first.url(), "social"));
    gate.signal("-HUP").await;
    let line = gate.says("restart required to change settings").await;
    assert!(line.contains("policies, routes"), "{line}");
    assert_eq!(post(&gate, FRIEND).await, "deny friends=deny");
}

#[tokio::test]
async fn one_that_is_away_is_told_apart_from_one_that_answers() {
    let words = allows().await;
    let away = format!("http://{}", nobody().await);
    let decisions = free("policies-decisions.jsonl");
    let yaml = format!(
        "decisions: {{to: {}}}\npolicies: {{words: {{url: \"{}\"}}, friends: {{url: \"{away}\", on_failure: allow}}}}\n\
         routes: [{{callbacks: {FRIEND}, policies: [words, friends], ask: all}}, {{policies: words}}]",
        decisions.display(),
        words.url()
    );
    let mut gate = start("away", &yaml).await;
    assert_eq!(post(&gate, FRIEND).await, "failed-open:unavailable words=allow, friends=failed-open:unavailable");
    let line = gate.says("webhook failed open").await;
    assert!(line.contains("policy=\"friends\""), "{line}");
    let ready = gate.ask("/readyz").await;
    let text = String::from_utf8(ready.body.to_vec()).unwrap();
    assert_eq!(ready.status, 200, "{text}");
    assert!(text.starts_with("words: ") && text.contains("\nfriends: "), "{text}");

    let status = gate.status().await;
    assert!(status.get("policy").is_none() && status.get("after_events").is_none(), "{status}");
    let [first, second] = &status["policies"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!(
        (&first["name"], &first["ready"], &first["verdicts"]["allow"]),
        (&"words".into(), &true.into(), &1.into())
    );
    assert_eq!((&second["name"], &second["ready"]), (&"friends".into(), &false.into()));
    assert_eq!(second["verdicts"]["failed-open:unavailable"], 1, "{second}");

    let metrics = String::from_utf8(gate.ask("/metrics").await.body.to_vec()).unwrap();
    for series in [
        "hookgate_policy_verdicts_total{policy=\"words\",outcome=\"allow\"} 1",
        "hookgate_policy_verdicts_total{policy=\"friends\",outcome=\"failed-open:unavailable\"} 1",
        "hookgate_policy_ready{policy=\"words\"} 1.0",
        "hookgate_policy_ready{policy=\"friends\"} 0.0",
        "hookgate_policy_duration_seconds_count{policy=\"words\"} 1",
        "hookgate_events_bytes{target=\"friends\"} 0.0",
    ] {
        assert!(metrics.lines().any(|line| line == series), "{series}\n{metrics}");
    }
    let admin = format!("http://{}", gate.admin);
    let page = hookgate(&["status", "--admin", &admin]).output().await.unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    for part in
        ["ready", "words: http://", "friends: not ready: ", "1 failed-open:unavailable", "After events   words: 0 kept"]
    {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let trigger = hookgate(&["trigger", FRIEND, "--to", &format!("http://{}", gate.webhooks)]).output().await.unwrap();
    let trigger = String::from_utf8(trigger.stdout).unwrap();
    assert!(trigger.contains("each policy's part: words=allow, friends=failed-open:unavailable"), "{trigger}");

    gate.signal("-INT").await;
    assert_eq!(gate.end().await.0, Some(0));
    let lines = std::fs::read_to_string(decisions).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["policy"], "friends", "{line}");
    let parts = line["policies"].as_array().unwrap();
    assert_eq!((&parts[0]["policy"], &parts[0]["outcome"]), (&"words".into(), &"allow".into()), "{line}");
    assert!(parts[1]["took_us"].is_u64(), "{line}");
}

#[tokio::test]
async fn with_one_named_policy_everything_goes_to_it() {
    let words = Policy::start(|_| Err(Status::internal("on purpose"))).await;
    let yaml = format!("policies: {{words: {{url: \"{}\", on_failure: {{error: allow}}}}}}", words.url());
    let gate = start("one", &yaml).await;
    assert_eq!(post(&gate, FRIEND).await, "failed-open:error words=failed-open:error");
    let callback = Callback::by_name(FRIEND).unwrap();
    let reply = gate.post(callback.command, callback.example).await;
    assert_eq!(header(&reply, "hookgate-rule"), "policies.words.on_failure");
}

#[tokio::test]
async fn each_policy_has_a_limit_of_its_own() {
    let (words, mut asked, release) = Policy::that_waits().await;
    let friends = allows().await;
    let yaml = format!(
        "budget: 14s\npolicies: {{words: {{url: \"{}\", calls: 1}}, friends: {{url: \"{}\"}}}}\n\
         routes: [{{callbacks: {FRIEND}, policies: words}}, {{policies: friends}}]",
        words.url(),
        friends.url()
    );
    let gate = start("limit", &yaml).await;
    let (waits, ()) = tokio::join!(post(&gate, FRIEND), async {
        // One health check may come first.
        asked.recv().await.expect("a call");
        while gate.status().await["in_flight"] != 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(post(&gate, ADD_BLACK).await, "allow friends=allow");
        release.send(true).unwrap();
    });
    assert_eq!(waits, "allow words=allow");
}

#[tokio::test]
async fn the_built_in_policy_can_be_one_of_several() {
    let friends = Policy::start(|_| Ok(denial(5001, "no"))).await;
    let yaml = format!(
        "builtin_listen: 127.0.0.1:0\npolicies: {{rest: {{url: builtin}}, friends: {{url: \"{}\"}}}}\n\
         routes: [{{callbacks: {FRIEND}, policies: friends}}, {{policies: rest}}]",
        friends.url()
    );
    let gate = start("builtin", &yaml).await;
    assert_eq!(post(&gate, FRIEND).await, "deny friends=deny");
    assert_eq!(post(&gate, ADD_BLACK).await, "allow rest=allow");
}

#[tokio::test]
async fn what_no_route_takes_fails_by_the_general_rule() {
    let policy = allows().await;
    let openim = file("policies-webhooks.yml", "beforeAddFriend:\n  enable: true\n  timeout: 5\n");
    let yaml = format!(
        "openim: {{webhooks: {openim}}}\npolicies: {{a: {{url: \"{}\"}}, b: {{url: \"{}\"}}}}\n\
         routes: [{{callbacks: {FRIEND}, policies: a}}, {{callbacks: beforeAddBlack, when: {{black_user_id: nobody}}, policies: b}}]",
        policy.url(),
        policy.url()
    );
    let gate = start("unrouted", &yaml).await;
    assert_eq!(post(&gate, FRIEND).await, "allow a=allow");
    assert_eq!(post(&gate, ADD_BLACK).await, "failed-closed:unimplemented");
    assert_eq!(post(&gate, "afterAddFriend").await, "failed-open:unimplemented");
    // What is not in the table is asked of the first.
    assert_eq!(header(&gate.post("callbackOfTomorrow", "{}").await, "hookgate-policies"), "a=allow");
    assert_eq!(policy.take_calls().len(), 2);
}
