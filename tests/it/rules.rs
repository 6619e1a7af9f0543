//! What the operator's failure rules make of a webhook without a verdict: every class, both rules, every kind of callback.

mod open;

use std::time::Duration;

use hookgate::config::Class;
use hookgate::config::{Override, Rule, Rules};
use hookgate::contract::Callback;
use hookgate::internals::observe::Outcome;
use hookgate::openim::{self, Reading, Release};
use tonic::Status;

use crate::support::{self, Gate, Policy};

/// A policy that fails so.
async fn failing(class: Class) -> (String, Option<Policy>) {
    let policy = match class {
        Class::Unavailable => {
            let address = support::nobody().await;
            return (format!("http://{address}"), None);
        }
        Class::Deadline => Policy::start_async(|_| Box::pin(std::future::pending())).await,
        Class::Overloaded => Policy::start(|_| Err(Status::resource_exhausted("full"))).await,
        Class::Unimplemented => Policy::start(|_| Err(Status::unimplemented("not yet"))).await,
        Class::Error => Policy::start(|_| Err(Status::internal("broken"))).await,
        Class::InvalidReply => Policy::start(|_| Ok(b"\xff".to_vec())).await,
    };
    (policy.url(), Some(policy))
}

/// A Before callback that echoes, one that does not, and an After one, with bodies as OpenIM sends them.
const CALLBACKS: [(&str, &str); 3] = [
    (
        "callbackBeforeSetGroupInfoCommand",
        r#"{"callbackCommand":"callbackBeforeSetGroupInfoCommand","operationID":"","groupID":"2937501746","groupName":"Team B",
            "notification":"","introduction":"hello","faceURL":"","ex":"","needVerification":0,"lookMemberInfo":0,
            "applyMemberFriend":0}"#,
    ),
    (
        "callbackBeforeAddBlackCommand",
        r#"{"callbackCommand":"callbackBeforeAddBlackCommand","ownerUserID":"u1001","blackUserID":"u1002"}"#,
    ),
    (
        "callbackAfterRemoveBlackCommand",
        r#"{"callbackCommand":"callbackAfterRemoveBlackCommand","ownerUserID":"u1001","blackUserID":"u1002"}"#,
    ),
];

fn allows_unchanged(reading: &Reading) -> bool {
    matches!(reading, Reading::Allowed(effects) if effects.is_empty())
}

#[tokio::test]
async fn every_class_under_every_rule_for_every_kind_of_callback() {
    for class in Class::ALL {
        for rule in [Rule::Allow, Rule::Deny] {
            let (url, _policy) = failing(class).await;
            let mut config = support::config();
            config.budget = Duration::from_millis(100);
            config.on_failure = Rules::all(rule);
            if class != Class::Deadline {
                config.budget = Duration::from_secs(60);
            }
            // An After event that failed is tried again; the reply waits no longer than this.
            config.after.answer_within = Duration::from_millis(1);
            let gate = Gate::configured(&url, config).await;
            for (command, body) in CALLBACKS {
                let callback = Callback::by_command(command).unwrap();
                let after = command.starts_with("callbackAfter");
                let outcome = if after { Outcome::Accepted } else { Outcome::Failed(rule, class) };
                let case = format!("{class} {rule:?} {command}");

                let reply = gate.post(&format!("/{command}"), body).await;
                assert_eq!(reply.status.as_u16(), 200, "{case}");
                assert_eq!(reply.headers["hookgate-outcome"], outcome.as_str(), "{case}");
                assert_eq!(gate.status.of(callback).counted(outcome), 1, "{case}");
                for release in Release::ALL {
                    let reading = openim::read(callback, body.as_bytes(), &reply.body, release);
                    if after || rule == Rule::Allow {
                        assert!(allows_unchanged(&reading), "{case} on {release:?}: {reading:?}");
                    } else {
                        let Reading::Denied(told) = reading else { panic!("{case} on {release:?}: {reading:?}") };
                        assert_eq!(told.code, 5000, "{case}");
                        assert!(told.message.contains(class.sentence()), "{case}: {}", told.message);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_class_and_a_callback_can_have_rules_of_their_own() {
    let policy = Policy::start(|_| Err(Status::internal("broken"))).await;
    let mut config = support::config();
    config.on_failure = "error=allow".parse().unwrap();
    let strict = Override { on_failure: Rules::all(Rule::Deny), ..Override::default() };
    config.callbacks.insert("callbackBeforeAddBlackCommand", strict);
    let gate = Gate::configured(&policy.url(), config).await;
    let open = gate.post("/callbackBeforeAddFriendCommand", "{}").await;
    assert_eq!(open.headers["hookgate-outcome"], "failed-open:error");
    let closed = gate.post("/callbackBeforeAddBlackCommand", "{}").await;
    assert_eq!(closed.headers["hookgate-outcome"], "failed-closed:error");
    let rules = [&open, &closed].map(|reply| reply.headers["hookgate-rule"].to_str().unwrap());
    assert_eq!(rules, ["on_failure", "callbacks.beforeAddBlack.on_failure"]);
    let unknown = gate.post("/callbackOfTomorrow", "{}").await;
    assert_eq!(unknown.headers["hookgate-outcome"], "failed-open:error");
}

#[tokio::test]
async fn the_code_and_the_sentences_are_the_operators() {
    let policy = Policy::start(|call| match call.metadata("openim-operation-id") {
        Some("deny") => Ok(b"\x0a\x00".to_vec()),
        _ => Err(Status::internal("broken")),
    })
    .await;
    let mut config = support::config();
    config.denial.code = 6001;
    config.denial.messages.insert(Class::Error, "try again later".to_owned());
    let gate = Gate::configured(&policy.url(), config).await;
    let failed = gate.post("/callbackBeforeAddBlackCommand", "{}").await.json();
    assert_eq!((&failed["errCode"], &failed["errMsg"]), (&6001.into(), &"try again later".into()));
    let uri = format!("http://{}/callbackBeforeAddBlackCommand", gate.address);
    let denied =
        gate.send(http::Request::post(uri).header("operationid", "deny").body("{}".into()).unwrap()).await.json();
    assert_eq!((&denied["errCode"], &denied["errMsg"]), (&6001.into(), &"denied by policy".into()));
    let refused = gate.post("/nowhere", "{}").await.json();
    assert_eq!(refused["errCode"], 6001);
}

#[tokio::test]
async fn the_outcome_is_told_in_a_header() {
    let policy = Policy::start(|call| match call.metadata("openim-operation-id") {
        Some("deny") => Ok(b"\x0a\x00".to_vec()),
        Some("change") => Ok(b"\x12\x03Bob".to_vec()),
        _ => Ok(Vec::new()),
    })
    .await;
    let gate = Gate::start(&policy.url()).await;
    for (operation_id, body, outcome) in
        [("", "{}", "allow"), ("change", "{}", "changed"), ("deny", "{}", "deny"), ("", "[]", "refused")]
    {
        let uri = format!("http://{}/callbackBeforeSetFriendRemarkCommand", gate.address);
        let request = http::Request::post(uri).header("operationid", operation_id).body(body.into()).unwrap();
        assert_eq!(gate.send(request).await.headers["hookgate-outcome"], outcome);
    }
}

#[tokio::test]
async fn calls_over_the_limit_are_overloaded_at_once() {
    let (policy, mut was_asked, release) = Policy::that_waits().await;
    let mut config = support::config();
    config.limits.calls = 2;
    let gate = std::sync::Arc::new(Gate::configured(&policy.url(), config).await);
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.post("/callbackBeforeAddBlackCommand", "{}").await })
        })
        .collect();
    was_asked.recv().await.unwrap();
    was_asked.recv().await.unwrap();
    let third = gate.post("/callbackBeforeAddBlackCommand", "{}").await;
    assert_eq!(third.headers["hookgate-outcome"], "failed-closed:overloaded");
    release.send(true).unwrap();
    for reply in waiting {
        assert_eq!(reply.await.unwrap().headers["hookgate-outcome"], "allow");
    }
}

#[tokio::test]
async fn a_connection_over_the_limit_gets_its_reply_and_is_closed() {
    let policy = Policy::allow().await;
    let mut config = support::config();
    config.limits.connections = 1;
    let gate = Gate::configured(&policy.url(), config).await;
    let kept = tokio::net::TcpStream::connect(gate.address).await.unwrap();
    let reply = gate.post("/callbackBeforeAddBlackCommand", "{}").await;
    assert_eq!(reply.headers["hookgate-outcome"], "failed-closed:overloaded");
    assert_eq!(reply.headers["connection"], "close");
    drop(kept);
}

#[tokio::test]
async fn a_connection_with_a_long_reply_is_closed_as_it_would_keep_the_room_for_it() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    for (length, closed) in [(1 << 10, false), (100 << 10, true)] {
        let body = serde_json::json!({"groupID": "g1", "groupName": "x".repeat(length)}).to_string();
        let reply = gate.post("/callbackBeforeSetGroupInfoCommand", body).await;
        assert!(reply.body.len() > length, "the name is handed back");
        assert_eq!(reply.headers.contains_key("connection"), closed, "{length}");
    }
}
