//! `hookgate outbox`: looking at what is kept, sending it again, dropping it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::gate::{GROUP, Ledger, Poster, body, directory, with_data};
use crate::support::program::{Running, hookgate};
use crate::support::restartable::{Act, Decide, Policy, anywhere};

/// Runs the command; gives its exit code and what it prints.
pub(super) async fn outbox(args: &[&str]) -> (Option<i32>, String, String) {
    let output = hookgate(&[&["outbox"], args].concat()).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

pub(super) async fn json(args: &[&str]) -> Value {
    let (code, out, err) = outbox(&[args, &["--json"]].concat()).await;
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).unwrap()
}

/// Waits until so many have ended undelivered.
async fn dead(gate: &Running, events: u64) {
    while gate.status().await["after_events"]["disk"]["dead"] != events {
        sleep(Duration::from_millis(10)).await;
    }
}

pub(super) fn failing() -> Decide {
    std::sync::Arc::new(|_| Act::Fail)
}

/// A hookgate whose events all end after an attempt.
async fn gate_of_the_dead(url: &str, data: &Path) -> Running {
    Running::of(with_data(url, data, "log: error\nafter: {attempts: 1, answer_within: 0s, pause_max: 5ms}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_is_listed_shown_replayed_and_dropped_while_hookgate_serves() {
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), failing()).await;
    let data = directory("operate");
    let gate = gate_of_the_dead(&policy.url(), &data).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..5 {
        poster.post(GROUP, &format!("op-{number}"), body("g1")).await;
    }
    dead(&gate, 5).await;
    let admin = format!("http://{}", gate.admin);
    let at = ["--admin", &*admin];

    let (_, table, _) = outbox(&at).await;
    assert!(table.contains("AfterSendGroupMsg  dead: attempts  5"), "{table}");
    let items = json(&[&["list"], &at[..]].concat()).await;
    let items = items.as_array().unwrap();
    assert_eq!(items.len(), 5);
    assert_eq!(
        (&items[0]["key"], &items[0]["attempts"], &items[0]["reason"]),
        (&"g1".into(), &1.into(), &"attempts".into())
    );
    let id = items[0]["id"].as_str().unwrap();

    let shown = json(&[&["show", id], &at[..]].concat()).await;
    assert_eq!(shown["message"]["groupID"], "g1");
    assert!(!shown.to_string().contains("a secret"), "{shown}");
    let revealed = json(&[&["show", id, "--reveal"], &at[..]].concat()).await;
    assert_eq!(revealed["message"]["content"], "a secret");

    // Back they go, to a policy that takes them.
    let address = policy.stop().await;
    let _policy = Policy::start(address, ledger.policy(u32::MAX, Duration::ZERO)).await;
    assert_eq!(json(&[&["replay", id], &at[..]].concat()).await["replayed"], 1);
    ledger.takes(1).await;
    {
        let taken = ledger.taken.lock().unwrap();
        let first = &taken["op-0"][0];
        assert_eq!((&*first.id, first.attempt), (id, 2), "the same ID, and the attempts go on");
    }
    assert_eq!(json(&[&["replay", "--reason", "attempts", "--since", "1h"], &at[..]].concat()).await["replayed"], 4);
    ledger.takes(5).await;

    let (code, _, err) = outbox(&[&["replay", id], &at[..]].concat()).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("no event has the ID"), "{err}");
    let (_, said, _) = outbox(&[&["replay", "--all"], &at[..]].concat()).await;
    assert_eq!(said, "0 events queued\n");
    let (code, _, err) = outbox(&[&["drop"], &at[..]].concat()).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("which events?"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_is_replayed_and_dropped_on_the_directory_while_hookgate_does_not_serve() {
    let policy = Policy::start(anywhere(), failing()).await;
    let data = directory("operate-offline");
    let gate = gate_of_the_dead(&policy.url(), &data).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..5 {
        poster.post(GROUP, &format!("op-{number}"), body("g1")).await;
    }
    dead(&gate, 5).await;
    let at = ["--data", data.to_str().unwrap()];
    let (code, _, err) = outbox(&at).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("another hookgate uses this directory"), "{err}");
    gate.kill().await;

    let id = json(&[&["list"], &at[..]].concat()).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(json(&[&["drop", &id], &at[..]].concat()).await["dropped"], 1);
    let (_, out, _) = outbox(&[&["replay", "--all", "--json"], &at[..]].concat()).await;
    assert_eq!(out, "{\"replayed\":4}\n");
    let (_, out, _) = outbox(&[&["replay", "--all"], &at[..]].concat()).await;
    assert_eq!(out, "0 events queued, for the next start\n");
    let counts = json(&at).await;
    assert_eq!((&counts[0]["state"], &counts[0]["events"]), (&"waiting".into(), &4.into()));
    // It waits, and so did not end for any reason.
    let id = json(&[&["list"], &at[..]].concat()).await[0]["id"].as_str().unwrap().to_owned();
    let (code, _, err) = outbox(&[&["drop", &id, "--reason", "attempts"], &at[..]].concat()).await;
    assert_eq!((code, err.contains("no event has the ID")), (Some(1), true), "{err}");

    let ledger = Ledger::new();
    let taking = Policy::start(anywhere(), ledger.policy(u32::MAX, Duration::ZERO)).await;
    let _gate = Running::of(with_data(&taking.url(), &data, "log: error")).await;
    ledger.takes(4).await;
    let mut taken = ledger.order.lock().unwrap().clone();
    taken.sort();
    assert_eq!(taken, ["op-1", "op-2", "op-3", "op-4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_says_what_became_of_the_events() {
    const RPC: &str = "/openim.policy.v1.MessagePolicyService/AfterSendGroupMsg";
    let policy = Policy::start(anywhere(), failing()).await;
    let data = directory("replay-says");
    let gate = gate_of_the_dead(&policy.url(), &data).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..3 {
        poster.post(GROUP, &format!("op-{number}"), body(&format!("g{number}"))).await;
    }
    dead(&gate, 3).await;
    let admin = format!("http://{}", gate.admin);
    let at = ["--admin", &*admin];
    let replay = async |args: &[&str]| outbox(&[&["replay"], args, &at].concat()).await.1;

    // They fail again, each at its first attempt.
    let said = replay(&["--all"]).await;
    let failed = "3 events queued\n0 events delivered\n\
                  3 events of AfterSendGroupMsg failed again, dead (attempts): error: Internal";
    assert!(said.replace("\n  ", " ").starts_with(failed), "{said}");
    let said = json(&[&["replay", "--all"], &at[..]].concat()).await;
    assert_eq!((&said["replayed"], &said["delivered"]), (&3.into(), &0.into()));
    assert_eq!((&said["undelivered"][0]["rpc"], &said["undelivered"][0]["dead"]["attempts"]), (&RPC.into(), &3.into()));

    // One hangs, and the others are taken.
    let address = policy.stop().await;
    let hangs: Decide = std::sync::Arc::new(|headers| match headers["openim-operation-id"].as_bytes() {
        b"op-1" => Act::Hang,
        _ => Act::Allow,
    });
    let policy = Policy::start(address, hangs).await;
    let said = replay(&["--all", "--wait", "1s"]).await;
    assert_eq!(said, "3 events queued\n2 events delivered\n1 event of AfterSendGroupMsg still waiting after 1s\n",);
    policy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_an_event_that_waits_says_what_became_of_it() {
    let policy = Policy::start(anywhere(), failing()).await;
    let data = directory("replay-waiting");
    let yaml = "log: error\nafter: {answer_within: 0s, schedule: '1h', pause_max: 10ms}";
    let gate = Running::of(with_data(&policy.url(), &data, yaml)).await;
    Poster::new(gate.webhooks).post(GROUP, "op-1", body("g1")).await;
    let admin = format!("http://{}", gate.admin);
    let at = ["--admin", &*admin];
    let item = loop {
        let items = json(&[&["list"], &at[..]].concat()).await;
        if items[0]["attempts"] == 1 {
            break items[0].clone();
        }
    };
    let id = item["id"].as_str().unwrap();
    let (_, said, _) = outbox(&[&["replay", id], &at[..]].concat()).await;
    let failed = "1 event queued\n0 events delivered\n\
                  1 event of AfterSendGroupMsg failed again, waiting for the next attempt: error: Internal";
    assert!(said.replace("\n  ", " ").starts_with(failed), "{said}");
    let address = policy.stop().await;
    let ledger = Ledger::new();
    let _policy = Policy::start(address, ledger.policy(u32::MAX, Duration::ZERO)).await;
    // The policy is back, so that it may have gone by itself.
    let (code, said, err) = outbox(&[&["replay", id], &at[..]].concat()).await;
    assert!(said == "1 event queued\n1 event delivered\n" || code == Some(1), "{said}{err}");
    ledger.takes(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hookgate_without_a_directory_says_so() {
    let policy = Policy::start(anywhere(), failing()).await;
    let gate = Running::of(crate::support::program::configured(&policy.url(), "no-data", "log: info")).await;
    let (code, _, err) = outbox(&["--admin", &format!("http://{}", gate.admin)]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("--data DIR"), "{err}");
    gate.signal("-TERM").await;
    let (_, said) = gate.end().await;
    assert_eq!(said.matches("a crash loses").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_stays_over_a_stop_and_its_attempts_go_on() {
    let policy = Policy::start(anywhere(), failing()).await;
    let data = directory("stop");
    let yaml = "log: error\nafter: {answer_within: 0s, schedule: '10ms,10ms,1h', pause_max: 10ms}\ndrain: {delay: 0s}";
    let gate = Running::of(with_data(&policy.url(), &data, yaml)).await;
    Poster::new(gate.webhooks).post(GROUP, "op-1", body("g1")).await;
    while gate.status().await["after_events"]["retried"] != 2 {
        sleep(Duration::from_millis(10)).await;
    }
    // Its third attempt has ended when it waits again.
    while gate.status().await["after_events"]["rpcs"]["/openim.policy.v1.MessagePolicyService/AfterSendGroupMsg"]["in_flight"]
        != 0
    {}
    gate.signal("-TERM").await;
    assert_eq!(gate.end().await.0, Some(0));
    let ledger = Ledger::new();
    let taking = Policy::start(anywhere(), ledger.policy(u32::MAX, Duration::ZERO)).await;
    let gate = Running::of(with_data(&taking.url(), &data, yaml)).await;
    // It is due in an hour, but the policy has come back since.
    ledger.takes(1).await;
    assert_eq!(ledger.taken.lock().unwrap()["op-1"][0].attempt, 4);
    assert!(gate.status().await["after_events"]["disk"]["commits"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn thousands_are_listed_dropped_and_replayed_by_their_thousands() {
    let data = directory("operate-many");
    drop(hookgate::internals::outbox::Offline::open(&data).unwrap());
    let fill = "insert into names (name) values ('/openim.policy.v1.MessagePolicyService/AfterSendGroupMsg');
        insert into dead
        select value, 'e' || value, 1, 1, 1, 'g', value, 1, null, 1, 1, 0, value, iif(value % 2, 'age', 'attempts'), null, '{}', x''
        from (with recursive n(value) as (select 1 union all select value + 1 from n where value < 5000) select value from n)";
    rusqlite::Connection::open(data.join("outbox.db")).unwrap().execute_batch(fill).unwrap();
    let at = ["--data", data.to_str().unwrap()];
    let ids = async |args: &[&str]| -> Vec<String> {
        let items = json(&[&["list"], args, &at].concat()).await;
        items.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let all: Vec<String> = (1..=5_000).map(|number| format!("e{number}")).collect();
    assert!(ids(&["--limit", "0"]).await == all);
    assert!(ids(&["--limit", "2500"]).await == all[..2_500]);
    assert!(ids(&[]).await == all[..100]);
    for (args, last) in [
        (&[][..], "100 of 5000 events; --limit 0 lists all"),
        (&["--reason", "age"], "100 of 2500 events; --limit 0 lists all"),
    ] {
        let (_, table, _) = outbox(&[&["list"], args, &at].concat()).await;
        assert_eq!(table.lines().last(), Some(last), "{args:?}");
    }
    assert_eq!(ids(&["--waiting"]).await, [""; 0]);
    let (_, table, _) = outbox(&[&["list", "--limit", "1000000000"], &at[..]].concat()).await;
    assert_eq!(table.lines().count(), 5_001);
    let last = table.lines().last().unwrap();
    assert!(last.starts_with("e5000 ") && last.contains("  dead: attempts  "), "{last}");

    assert_eq!(json(&[&["drop", "--reason", "age"], &at[..]].concat()).await["dropped"], 2_500);
    assert_eq!(json(&[&["replay", "--since", "1970-01-01T00:00:02Z"], &at[..]].concat()).await["replayed"], 1_501);
    let waiting = ids(&["--waiting", "--limit", "0"]).await;
    assert_eq!((waiting.len(), &*waiting[0], &*waiting[1_500]), (1_501, "e2000", "e5000"));
    assert_eq!(ids(&["--dead", "--limit", "0"]).await.len(), 999);
}
