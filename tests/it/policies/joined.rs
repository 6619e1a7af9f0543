//! Joined verdicts of two policies: joining × failure × kind of callback, every reply read as each release of OpenIM does.

use std::time::Duration;

use futures_util::future::join_all;
use hookgate::contract::Callback;
use hookgate::openim::{self, Reading, Release};
use http_body_util::Full;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use tonic::Status;

use super::{FRIEND, MODIFY, header, start};
use crate::support::program::Running;
use crate::support::{Answer, Call, Policy, Reply, denial, method, send};

/// The behaviour of a policy towards a webhook: a word of the operation ID for each policy.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Allows,
    Changes,
    Denies,
    /// Answers with a status that is no verdict.
    Fails,
    /// Gives no answer.
    Hangs,
    /// Answers what is no message of the rpc.
    Lies,
}

use Does::{Allows, Changes, Denies, Fails, Hangs, Lies};

const EVERYTHING: [Does; 6] = [Allows, Changes, Denies, Fails, Hangs, Lies];

const NAMES: [&str; 2] = ["words", "friends"];

/// A policy service, the first or the second of the two.
async fn policy(place: usize) -> Policy {
    Policy::without_health(move |call| -> Answer {
        let does = call.metadata("openim-operation-id").unwrap_or_default().split('-').nth(place).unwrap_or_default();
        if does == "Hangs" {
            return Box::pin(std::future::pending());
        }
        let answer = match does {
            "Changes" => Ok(change(&call, NAMES[place])),
            "Denies" => Ok(denial(5001 + place as u64, NAMES[place])),
            "Fails" => Err(Status::internal("on purpose")),
            "Lies" => Ok(vec![0xff; 3]),
            _ => Ok(Vec::new()),
        };
        Box::pin(std::future::ready(answer))
    })
    .await
}

/// A response that changes what can be changed to this name.
fn change(call: &Call, name: &str) -> Vec<u8> {
    let mut response = DynamicMessage::new(method(&call.rpc).output());
    match response.get_field_by_name("content").is_some() {
        true => response.set_field_by_name("content", Value::String(format!("{{\"content\":\"{name}\"}}"))),
        false => {
            let field = response.descriptor().get_field_by_name("offline_push_info").expect("a change");
            let info = response.get_field_mut(&field).as_message_mut().expect("a message");
            info.set_field_by_name("title", Value::String(name.to_owned()));
        }
    }
    response.encode_to_vec()
}

/// The part of a policy, by a model that knows nothing of how hookgate asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Allow,
    Changed,
    Deny,
    Open(&'static str),
    Closed(&'static str),
}

impl Part {
    /// `observes` is set for a policy whose changes are invalid.
    fn of(place: usize, does: Does, callback: &Callback, observes: bool) -> Self {
        let class = match does {
            Allows => return Self::Allow,
            Changes if !observes => return Self::Changed,
            Denies => return Self::Deny,
            Fails => "error",
            Hangs => "deadline",
            Lies | Changes => "invalid_reply",
        };
        // As the configuration below says.
        let is_open = callback.fails_open || class == ["error", "deadline"][place];
        if is_open { Self::Open(class) } else { Self::Closed(class) }
    }

    fn outcome(self) -> String {
        match self {
            Self::Allow => "allow".to_owned(),
            Self::Changed => "changed".to_owned(),
            Self::Deny => "deny".to_owned(),
            Self::Open(class) => format!("failed-open:{class}"),
            Self::Closed(class) => format!("failed-closed:{class}"),
        }
    }

    fn denies(self) -> bool {
        matches!(self, Self::Deny | Self::Closed(_))
    }
}

/// The parts of the policies that are asked, and heard.
fn heard(parts: [Part; 2], is_chain: bool) -> Vec<Part> {
    let ends = if is_chain { parts[0].denies() } else { parts[0] == Part::Deny };
    if ends { parts[..1].to_vec() } else { parts.to_vec() }
}

fn joined(parts: &[Part]) -> Part {
    let first = |is: fn(&Part) -> bool| parts.iter().copied().find(is);
    first(|part| *part == Part::Deny)
        .or_else(|| first(|part| matches!(part, Part::Closed(_))))
        .or_else(|| first(|part| matches!(part, Part::Open(_))))
        .or_else(|| first(|part| *part == Part::Changed))
        .unwrap_or(Part::Allow)
}

/// Posts the example of a callback with an operation ID.
async fn post(gate: &Running, callback: &Callback, operation_id: &str) -> Reply {
    let uri = format!("http://{}/{}", gate.webhooks, callback.command);
    let request = http::Request::post(uri).header("operationID", operation_id);
    send(request.body(Full::from(callback.example)).expect("a request")).await
}

async fn assert_joined(gate: &Running, callback: &Callback, does: [Does; 2], is_chain: bool) {
    let case = format!("{:?}-{:?}", does[0], does[1]);
    // Of those that are asked at once only the first may change anything.
    let part = |place: usize| Part::of(place, does[place], callback, !is_chain && place == 1);
    let parts = heard([part(0), part(1)], is_chain);
    let reply = post(gate, callback, &case).await;
    let case = format!("{} {case} {is_chain}: {:?}", callback.config_key, reply.body);
    let expected = joined(&parts);
    assert_eq!(header(&reply, "hookgate-outcome"), expected.outcome(), "{case}");
    let told: Vec<_> = parts.iter().zip(NAMES).map(|(part, name)| format!("{name}={}", part.outcome())).collect();
    assert_eq!(header(&reply, "hookgate-policies"), told.join(", "), "{case}");
    let changed_by = parts.iter().rposition(|part| *part == Part::Changed);
    for release in Release::ALL {
        match openim::read(callback, callback.example.as_bytes(), &reply.body, release) {
            Reading::Denied(_) => {
                assert!(expected.denies(), "{case}");
                let denied_by = parts.iter().position(|part| *part == Part::Deny);
                let code = denied_by.map_or(5000, |place| 5001 + place);
                assert_eq!(reply.json()["errCode"], code, "{case}");
            }
            Reading::Allowed(effects) => {
                assert!(!expected.denies(), "{case}");
                let effects: Vec<_> = effects.iter().map(|effect| effect.value.clone().unwrap_or_default()).collect();
                let text = serde_json::to_string(&effects).unwrap();
                let name = changed_by.map(|place| NAMES[place]);
                assert_eq!(effects.len(), usize::from(name.is_some()), "{case} {text}");
                assert!(name.is_none_or(|name| text.contains(name)), "{case} {text}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn every_pair_of_verdicts_is_joined_as_the_manual_says() {
    let (words, friends) = (policy(0).await, policy(1).await);
    let push = Callback::by_name("beforeOfflinePush").expect("a callback");
    assert!(push.fails_open);
    for ask in ["chain", "all"] {
        let observe = ask == "all";
        let yaml = format!(
            "budget: 3s\npolicies:\n  words: {{url: \"{}\", share: 0.5, on_failure: {{error: allow}}}}\n  \
             friends: {{url: \"{}\", observe: {observe}, on_failure: {{deadline: allow}}}}\n\
             routes: [{{policies: [words, friends], ask: {ask}}}]",
            words.url(),
            friends.url()
        );
        let gate = start(&format!("joined-{ask}"), &yaml).await;
        let mut cases = Vec::new();
        for callback in [Callback::by_name(MODIFY).unwrap(), Callback::by_name(FRIEND).unwrap(), push] {
            let is_possible = |does: &Does| *does != Changes || callback.changes().next().is_some();
            for first in EVERYTHING.into_iter().filter(is_possible) {
                for second in EVERYTHING.into_iter().filter(is_possible) {
                    cases.push(assert_joined(&gate, callback, [first, second], ask == "chain"));
                }
            }
        }
        assert!(cases.len() > 90);
        join_all(cases).await;
    }
}

#[tokio::test]
async fn a_policy_that_hangs_between_two_others_takes_no_more_than_the_budget() {
    let policies = [policy(0).await, policy(1).await, policy(2).await];
    let of = |place: usize| format!("{{url: \"{}\"}}", policies[place].url());
    for (ask, heard) in
        [("chain", "a=allow, b=failed-closed:deadline"), ("all", "a=allow, b=failed-closed:deadline, c=allow")]
    {
        let yaml = format!(
            "budget: 3s\npolicies: {{a: {}, b: {}, c: {}}}\nroutes: [{{callbacks: {FRIEND}, policies: [a, b, c], \
             ask: {ask}}}, {{policies: a}}]",
            of(0),
            of(1),
            of(2)
        );
        let gate = start(&format!("hangs-{ask}"), &yaml).await;
        let callback = Callback::by_name(FRIEND).unwrap();
        let reply = tokio::time::timeout(Duration::from_secs(30), post(&gate, callback, "Allows-Hangs-Allows")).await;
        let reply = reply.expect("a reply, whatever b does");
        assert_eq!(header(&reply, "hookgate-outcome"), "failed-closed:deadline");
        assert_eq!(header(&reply, "hookgate-policies"), heard);
        assert_eq!(header(&reply, "hookgate-rule"), "on_failure");
    }
}

#[tokio::test]
async fn a_denial_is_the_reply_though_another_policy_never_answers() {
    let (words, friends) = (policy(0).await, policy(1).await);
    let yaml = format!(
        "budget: 14s\npolicies: {{words: {{url: \"{}\"}}, friends: {{url: \"{}\"}}}}\nroutes: [{{callbacks: {FRIEND}, \
         policies: [words, friends], ask: all}}, {{policies: words}}]",
        words.url(),
        friends.url()
    );
    let gate = start("denial", &yaml).await;
    let callback = Callback::by_name(FRIEND).unwrap();
    let reply = post(&gate, callback, "Denies-Hangs").await;
    assert_eq!(header(&reply, "hookgate-policies"), "words=deny");
    // The first one in the list is waited for.
    let reply = post(&gate, callback, "Fails-Denies").await;
    assert_eq!(header(&reply, "hookgate-policies"), "words=failed-closed:error, friends=deny");
    assert_eq!(reply.json()["errCode"], 5002);
}

#[tokio::test]
async fn the_next_policy_of_a_chain_sees_the_changes_and_another_does_not() {
    let (words, friends) = (policy(0).await, policy(1).await);
    let yaml = format!(
        "policies: {{words: {{url: \"{}\"}}, friends: {{url: \"{}\"}}}}\n\
         routes: [{{policies: [words, friends], ask: chain}}]",
        words.url(),
        friends.url()
    );
    let gate = start("seen", &yaml).await;
    let callback = Callback::by_name(MODIFY).unwrap();
    let content = |call: &Call| {
        let request = call.request();
        let message = request.get_field_by_name("message").expect("a group").into_owned();
        message.as_message().unwrap().get_field_by_name("content").unwrap().as_str().unwrap().to_owned()
    };
    for (operation_id, saw) in [("Changes-Allows", "words"), ("Allows-Changes", "")] {
        post(&gate, callback, operation_id).await;
        let [first, second] = [&words, &friends].map(|policy| policy.take_calls().remove(0));
        assert!(content(&second).contains(saw), "{}", content(&second));
        if saw.is_empty() {
            assert_eq!(first.message, second.message);
        } else {
            assert_ne!(content(&first), content(&second));
        }
        assert_eq!(first.metadata("hookgate-event-id"), second.metadata("hookgate-event-id"));
    }
    // A denial of a long one is one, whatever time is left.
    let long = format!(
        "{}, \"ofTomorrow\": \"{}\"}}",
        callback.example.trim_end().strip_suffix('}').unwrap(),
        "x".repeat(300_000)
    );
    let uri = format!("http://{}/{}", gate.webhooks, callback.command);
    for (operation_id, code) in [("Denies-Allows", 5001), ("Changes-Denies", 5002)] {
        let request = http::Request::post(&uri).header("operationID", operation_id);
        let reply = send(request.body(Full::from(long.clone())).unwrap()).await;
        assert_eq!(reply.json()["errCode"], code, "{operation_id}");
    }
    friends.take_calls();
    // A long one is worked on elsewhere.
    let mut body: serde_json::Value = serde_json::from_str(callback.example).unwrap();
    body["ofTomorrow"] = "x".repeat(300_000).into();
    let uri = format!("http://{}/{}", gate.webhooks, callback.command);
    let request = http::Request::post(uri).header("operationID", "Changes-Changes");
    let reply = send(request.body(Full::from(body.to_string())).unwrap()).await;
    assert_eq!(header(&reply, "hookgate-policies"), "words=changed, friends=changed");
    assert!(reply.json()["content"].as_str().unwrap().contains("friends"), "{:?}", reply.body);
    assert!(content(&friends.take_calls()[0]).contains("words"));
}
