//! Several policies on one cluster: each has streams of its own.

use super::bad::yaml;
use super::servers::Servers;
use super::store::{data, ids, recording};
use crate::outbox::gate::{GROUP, body};
use crate::outbox::inside::until;
use crate::support::file;
use crate::support::program::{Running, hookgate};

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn each_policy_gets_each_event_from_streams_of_its_own() {
    let servers = Servers::start("policies", 1, "").await;
    let (words, heard) = recording(|_| false).await;
    let (friends, refused) = recording(|_| true).await;
    let after = yaml(&servers, "");
    let config = format!(
        "{after}\npolicies: {{policy: {{url: \"{}\"}}, friends: {{url: \"{}\"}}}}\n\
         routes: [{{timing: after, policies: [policy, friends]}}, {{policies: policy}}]",
        words.url(),
        friends.url()
    );
    let file = file("jetstream-policies.yaml", config);
    let data = data("policies").to_str().unwrap().to_owned();
    let places = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let mut gate = Running::of(hookgate(&[&places[..], &["--config", &file, "--data", &data]].concat())).await;
    for number in 0..3 {
        let reply = gate.post(GROUP, &body(&format!("g{number}"))).await;
        assert_eq!(reply.headers["hookgate-outcome"], "accepted");
    }
    until("one has them all, the other is asked", || {
        heard.lock().unwrap().len() == 3 && !refused.lock().unwrap().is_empty()
    })
    .await;
    assert!(ids(&heard).contains(&ids(&refused)[0]));
    // The short form's streams are those of the policy of its name.
    assert_eq!(servers.messages("hookgate").await + servers.messages("hookgate-later").await, 0);
    assert_eq!(servers.messages("hookgate-friends").await + servers.messages("hookgate-friends-later").await, 3);
    let admin = format!("http://{}", gate.admin);
    let counts = hookgate(&["outbox", "--admin", &admin]).output().await.unwrap();
    let counts = String::from_utf8(counts.stdout).unwrap();
    assert!(counts.lines().skip(1).all(|line| line.starts_with("friends")), "{counts}");
    gate.signal("-TERM").await;
    gate.says("stopped").await;
}
