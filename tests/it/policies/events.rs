//! After events that go to several policies.

use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;

use super::{allows, header, start};
use crate::support::program::Running;
use crate::support::{Policy, file};
use hookgate::contract::Callback;

const EVENT: &str = "afterAddFriend";

async fn post(gate: &Running) -> String {
    let callback = Callback::by_name(EVENT).unwrap();
    header(&gate.post(callback.command, callback.example).await, "hookgate-outcome").to_owned()
}

/// A policy that fails until it is told to answer.
async fn failing() -> (Policy, watch::Sender<bool>) {
    let (answers, is_told) = watch::channel(false);
    let policy = Policy::start(move |call| match *is_told.borrow() || call.rpc.starts_with("/grpc.health.") {
        true => Ok(Vec::new()),
        false => Err(Status::unavailable("on purpose")),
    });
    (policy.await, answers)
}

fn yaml(words: &Policy, friends: &Policy, more: &str) -> String {
    format!(
        "{more}\npolicies: {{words: {{url: \"{}\"}}, friends: {{url: \"{}\"}}}}\n\
         routes: [{{timing: after, policies: [words, friends]}}, {{policies: words}}]",
        words.url(),
        friends.url()
    )
}

/// Waits until each of the policies has had this many events delivered.
async fn delivered(gate: &Running, counts: [u64; 2]) {
    let found = async {
        loop {
            let status = gate.status().await;
            let of = |place: usize| status["policies"][place]["after_events"]["delivered"].as_u64().unwrap();
            if [of(0), of(1)] == counts {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("delivered");
}

#[tokio::test]
async fn each_policy_gets_each_event_and_the_reply_is_their_verdict_if_all_come() {
    let (words, friends) = (allows().await, allows().await);
    let gate = start("events", &yaml(&words, &friends, "after: {answer_within: 14s}")).await;
    assert_eq!(post(&gate).await, "allow");
    let (first, second) = (words.take_calls(), friends.take_calls());
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].message, second[0].message);
    assert_eq!(first[0].metadata("hookgate-event-id"), second[0].metadata("hookgate-event-id"));
}

#[tokio::test]
async fn one_that_fails_holds_up_no_other_and_gets_its_events_later() {
    let (words, (friends, answers)) = (allows().await, failing().await);
    let gate = start("events-failing", &yaml(&words, &friends, "after: {answer_within: 14s, retry_min: 10ms}")).await;
    for _ in 0..3 {
        assert_eq!(post(&gate).await, "accepted");
    }
    delivered(&gate, [3, 0]).await;
    answers.send(true).unwrap();
    delivered(&gate, [3, 3]).await;
    assert_eq!(words.take_calls().len(), 3);
}

#[tokio::test]
async fn each_policy_has_a_directory_and_one_called_policy_that_of_the_short_form() {
    let data = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies-data");
    let _ = std::fs::remove_dir_all(&data);
    let (old, answers) = failing().await;
    let retry = "after: {answer_within: 0ms, retry_min: 10ms}";
    let short = format!("data: {}\n{retry}\npolicy: {}", data.display(), old.url());
    let gate = start("events-short", &short).await;
    assert_eq!(post(&gate).await, "accepted");
    gate.signal("-INT").await;
    assert_eq!(gate.end().await.0, Some(0));
    // The events of the short form are delivered to the policy of its name.
    let new = Policy::start(|_| Err(Status::unavailable("on purpose"))).await;
    let long = format!(
        "data: {}\n{retry}\npolicies: {{new: {{url: \"{}\"}}, policy: {{url: \"{}\"}}}}\n\
         routes: [{{timing: after, policies: [new, policy]}}, {{policies: policy}}]",
        data.display(),
        new.url(),
        old.url()
    );
    let gate = start("events-long", &long).await;
    answers.send(true).unwrap();
    delivered(&gate, [0, 1]).await;
    assert_eq!(post(&gate).await, "accepted");
    delivered(&gate, [0, 2]).await;
    assert!(data.join("new").is_dir());
    gate.signal("-INT").await;
    let (code, said) = gate.end().await;
    assert_eq!(code, Some(0), "{said}");
    // It is there at the next start.
    drop(new);
    let new = allows().await;
    let _ = file("policies-events-long.yaml", long.replace(&url_of(&long), &new.url()));
    let gate = Running::of(super::configured("events-long", &long.replace(&url_of(&long), &new.url()))).await;
    delivered(&gate, [1, 0]).await;
    assert_eq!(new.take_calls().len(), 1);
}

/// The first URL in a configuration.
fn url_of(yaml: &str) -> String {
    let begin = yaml.find("http://").unwrap();
    yaml[begin..].split('"').next().unwrap().to_owned()
}
