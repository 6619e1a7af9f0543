//! Several policies, each with an outbox of its own: `hookgate outbox` over all of them, and outboxes of no policy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json as value};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::sleep;

use super::gate::{GROUP, Ledger, Poster, body, directory};
use super::operate::{failing, json, outbox};
use crate::support::file;
use crate::support::program::{Running, hookgate};
use crate::support::restartable::{Act, Decide, Policy, anywhere};

/// hookgate with these policies, which are all sent every After event, and with this directory.
fn with_policies(policies: &[(&str, &Policy)], data: &Path, yaml: &str) -> Command {
    let names: Vec<_> = policies.iter().map(|(name, _)| *name).collect();
    let urls: Vec<_> = policies.iter().map(|(name, policy)| format!("{name}: {{url: '{}'}}", policy.url())).collect();
    let yaml = format!(
        "policies: {{{}}}\nroutes: [{{callbacks: 'after*', policies: [{}]}}, {{policies: {}}}]\n{yaml}",
        urls.join(", "),
        names.join(", "),
        names[0]
    );
    let file = file(&format!("{}.yaml", data.file_name().unwrap().to_str().unwrap()), yaml);
    let data = data.to_str().unwrap();
    hookgate(&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", data, "--config", &file])
}

/// A configuration in which every event ends after one attempt.
const ONE_ATTEMPT: &str = "log: error\nafter: {attempts: 1, answer_within: 0s, pause_max: 5ms}";

/// A policy that fails this operation, and takes all others.
fn failing_one(operation: &'static str) -> Decide {
    Arc::new(move |headers| if headers["openim-operation-id"] == operation { Act::Fail } else { Act::Allow })
}

/// Waits until each policy has so many dead letters, and nothing else.
async fn dead(gate: &Running, events: &[u64]) {
    loop {
        let status = gate.status().await;
        let of = |policy: &Value| {
            let events = &policy["after_events"];
            (events["backlog"]["events"] == 0).then(|| events["disk"]["dead"].as_u64())?
        };
        let dead: Option<Vec<_>> = status["policies"].as_array().unwrap().iter().map(of).collect();
        if dead.is_some_and(|dead| dead == events) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the values of a key of objects.
fn all<'v>(items: &'v Value, key: &str) -> Vec<&'v str> {
    items.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap()).collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_all_policies_are_counted_listed_replayed_and_dropped_as_those_of_one() {
    let (strict, friends) =
        (Policy::start(anywhere(), failing()).await, Policy::start(anywhere(), failing_one("op-0")).await);
    let data = directory("policies");
    let gate = Running::of(with_policies(&[("words", &strict), ("friends", &friends)], &data, ONE_ATTEMPT)).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..3 {
        poster.post(GROUP, &format!("op-{number}"), body(&format!("g{number}"))).await;
    }
    dead(&gate, &[3, 1]).await;
    assert!(data.join("words/outbox.db").exists() && data.join("friends/outbox.db").exists());
    assert!(!data.join("outbox.db").exists());
    let admin = format!("http://{}", gate.admin);
    let at = ["--admin", &*admin];
    let text = async |args: &[&str]| outbox(&[args, &at].concat()).await;
    let parsed = async |args: &[&str]| json(&[args, &at].concat()).await;

    let (_, table, _) = text(&[]).await;
    let lines: Vec<_> = table.lines().map(words).collect();
    assert_eq!(lines[0][..2], ["POLICY", "RPC"], "{table}");
    assert_eq!(lines[1][..5], ["words", "AfterSendGroupMsg", "dead:", "attempts", "3"], "{table}");
    assert_eq!(lines[2][..5], ["friends", "AfterSendGroupMsg", "dead:", "attempts", "1"], "{table}");
    assert_eq!(all(&parsed(&[]).await, "target"), ["words", "friends"]);
    assert_eq!(all(&parsed(&["--policy", "friends"]).await, "target"), ["friends"]);

    let items = parsed(&["list"]).await;
    assert_eq!(all(&items, "target"), ["words", "words", "words", "friends"]);
    let keys: Vec<_> = all(&items, "key");
    assert_eq!((keys[3], items[3]["attempts"].as_u64()), ("g0", Some(1)));
    assert_eq!(all(&parsed(&["list", "--limit", "1", "--policy", "friends"]).await, "key"), ["g0"]);
    let (_, table, _) = text(&["list", "--limit", "3"]).await;
    assert!(table.starts_with("POLICY   ID ") && table.ends_with("3 of 4 events; --limit 0 lists all\n"), "{table}");
    assert_eq!(table.matches("\nwords    ").count(), 3, "{table}");
    assert_eq!(all(&parsed(&["list", "--limit", "4"]).await, "target").len(), 4);

    // Both have it, by one ID.
    let id = items[3]["id"].as_str().unwrap();
    let show = async |args: &[&str]| json(&[&["show", id], args, &at].concat()).await;
    assert_eq!((&show(&[]).await["target"], &show(&[]).await["message"]["groupID"]), (&"words".into(), &"g0".into()));
    assert_eq!(show(&["--policy", "friends"]).await["target"], "friends");
    let other = items.as_array().unwrap().iter().find(|item| item["id"] != id).unwrap()["id"].as_str().unwrap();
    assert_eq!(parsed(&["show", other]).await["target"], "words");
    let (code, _, err) = text(&["show", other, "--policy", "friends"]).await;
    assert!(code == Some(1) && err.contains("no event has the ID"), "{err}");
    let (code, _, err) = text(&["replay", "e-of-nobody"]).await;
    assert!(code == Some(1) && err.contains("no event has the ID \"e-of-nobody\""), "{err}");
    let (code, _, err) = text(&["list", "--policy", "wrods"]).await;
    assert_eq!(
        (code, &*err),
        (Some(2), "hookgate: --policy \"wrods\": no such policy has an outbox; expected words, friends\n")
    );

    // Those of both, of which each fails again.
    let said = parsed(&["replay", "--all"]).await;
    assert_eq!((&said["replayed"], &said["delivered"]), (&4.into(), &0.into()), "{said}");
    assert_eq!(said["undelivered"][0]["dead"]["attempts"], 4, "{said}");
    let said = parsed(&["replay", id]).await;
    assert_eq!((&said["replayed"], &said["delivered"]), (&2.into(), &0.into()), "{said}");
    let (_, said, _) = text(&["replay", "--reason", "attempts", "--policy", "friends"]).await;
    assert!(
        said.starts_with("1 event queued\n0 events delivered\n1 event of AfterSendGroupMsg failed again"),
        "{said}"
    );

    // `words` is back, and takes its own.
    let address = strict.stop().await;
    let ledger = Ledger::new();
    let _words = Policy::start(address, ledger.policy(u32::MAX, Duration::ZERO)).await;
    let said = parsed(&["replay", "--since", "1h"]).await;
    assert_eq!((&said["replayed"], &said["delivered"]), (&4.into(), &3.into()), "{said}");
    ledger.takes(3).await;
    let (_, said, _) = text(&["drop", id]).await;
    assert_eq!(said, "1 event dropped\n");
    assert_eq!(text(&[]).await.1, "no events\n");
    assert_eq!(text(&["list"]).await.1, "no such events\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outboxes_below_a_directory_are_worked_on_while_hookgate_does_not_serve() {
    let (one, two) = (Policy::start(anywhere(), failing()).await, Policy::start(anywhere(), failing_one("op-0")).await);
    let data = directory("policies-offline");
    // A policy called `policy` has the directory itself.
    let gate = Running::of(with_policies(&[("policy", &one), ("friends", &two)], &data, ONE_ATTEMPT)).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..3 {
        poster.post(GROUP, &format!("op-{number}"), body(&format!("g{number}"))).await;
    }
    dead(&gate, &[3, 1]).await;
    let at = ["--data", data.to_str().unwrap()];
    let (code, _, err) = outbox(&[&["--policy", "friends"], &at[..]].concat()).await;
    assert!(code == Some(1) && err.contains("friends: another hookgate uses this directory"), "{err}");
    gate.kill().await;
    for other in ["empty", "backup.old"] {
        std::fs::create_dir(data.join(other)).unwrap();
    }
    std::fs::copy(data.join("friends/outbox.db"), data.join("backup.old/outbox.db")).unwrap();

    let (_, table, _) = outbox(&at).await;
    let lines: Vec<_> = table.lines().map(|line| words(line)[0]).collect();
    assert_eq!(lines, ["POLICY", "policy", "friends"], "{table}");
    let items = json(&[&["list"], &at[..]].concat()).await;
    assert_eq!(all(&items, "target"), ["policy", "policy", "policy", "friends"]);
    assert_eq!(json(&[&["show", items[3]["id"].as_str().unwrap()], &at[..]].concat()).await["target"], "policy");
    let (_, table, _) = outbox(&[&["--policy", "policy"], &at[..]].concat()).await;
    assert!(table.starts_with("RPC "), "{table}");
    let (_, said, _) = outbox(&[&["replay", "--all", "--policy", "friends"], &at[..]].concat()).await;
    assert_eq!(said, "1 event queued, for the next start\n");
    assert_eq!(json(&[&["drop", "--all"], &at[..]].concat()).await, value!({"dropped": 3}));
    let counts = json(&at).await;
    assert_eq!((all(&counts, "target"), all(&counts, "state")), (vec!["friends"], vec!["waiting"]));
    let (code, _, err) = outbox(&[&["--policy", "empty"], &at[..]].concat()).await;
    assert_eq!(
        (code, &*err),
        (Some(2), "hookgate: --policy \"empty\": no such policy has an outbox; expected policy, friends\n")
    );
    // A directory that is renamed with its policy.
    std::fs::rename(data.join("friends"), data.join("pals")).unwrap();
    let ledger = Ledger::new();
    let pals = Policy::start(anywhere(), ledger.policy(u32::MAX, Duration::ZERO)).await;
    let gate = Running::of(with_policies(&[("policy", &one), ("pals", &pals)], &data, ONE_ATTEMPT)).await;
    ledger.takes(1).await;
    assert_eq!(ledger.order.lock().unwrap()[..], ["op-0"]);
    gate.kill().await;

    let empty = data.join("empty");
    let at = ["--data", empty.to_str().unwrap()];
    assert_eq!(outbox(&at).await.1, "no events\n");
    assert_eq!(outbox(&[&["replay", "--all"], &at[..]].concat()).await.1, "0 events queued, for the next start\n");
    let (code, _, err) = outbox(&[&["drop", "e1"], &at[..]].concat()).await;
    assert!(code == Some(1) && err.contains("no event has the ID \"e1\""), "{err}");
    let (code, _, err) = outbox(&[&["--policy", "words"], &at[..]].concat()).await;
    assert!(code == Some(2) && err.contains("no such policy has an outbox; there is none"), "{err}");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0, "nothing is made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outboxes_of_no_policy_are_warned_of_at_the_start() {
    const WARNING: &str = "outbox of no policy, its events are not delivered";
    let policy = Policy::start(anywhere(), failing_one("none")).await;
    let data = directory("policies-left");
    let start = async |policies: &[&str]| {
        let policies: Vec<_> = policies.iter().map(|name| (*name, &policy)).collect();
        let yaml = "log: warn\ndrain: {delay: 0s}";
        let gate = Running::of(with_policies(&policies, &data, yaml)).await;
        gate.signal("-TERM").await;
        let (code, said) = gate.end().await;
        assert_eq!(code, Some(0), "{said}");
        said
    };
    let said = start(&["policy", "words"]).await;
    assert!(!said.contains(WARNING), "{said}");
    let said = start(&["words", "friends"]).await;
    assert_eq!(said.matches(WARNING).count(), 1, "{said}");
    assert!(said.contains(&format!("directory={}", data.display())), "{said}");
    let said = start(&["policy"]).await;
    assert_eq!(said.matches(WARNING).count(), 2, "{said}");
    for name in ["words", "friends"] {
        assert!(said.contains(&format!("directory={}", data.join(name).display())), "{said}");
    }
}

/// An admin listener that answers what the test says about a path with its query, and else a status without a body. Returns
/// its URL.
async fn admin_listener(answer: impl Fn(&str) -> Option<Value> + Clone + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let answer = answer(request.uri().path_and_query().unwrap().as_str());
                let (status, body) = answer.map_or((404, String::new()), |answer| (200, answer.to_string()));
                std::future::ready(http::Response::builder().status(status).body(Full::<Bytes>::from(body)))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    admin
}

#[tokio::test]
async fn an_earlier_hookgate_has_one_outbox() {
    let count = value!({
        "target": "policy", "rpc": "/openim.policy.v1.MessagePolicyService/AfterSendGroupMsg", "state": "waiting",
        "reason": null, "events": 7, "bytes": 9, "oldest": 1,
    });
    let admin = admin_listener(move |path| (path == "/outbox").then(|| value!([count]))).await;
    let (_, table, _) = outbox(&["--admin", &admin]).await;
    assert!(table.starts_with("RPC ") && table.contains("AfterSendGroupMsg  waiting  7"), "{table}");
    let (code, _, err) = outbox(&["--admin", &admin, "--policy", "words"]).await;
    assert!(code == Some(2) && err.contains("expected policy\n"), "{err}");
}

#[tokio::test]
async fn events_that_a_replay_evicts_are_those_of_its_policies() {
    let asked = Arc::new(AtomicU64::new(0));
    let admin = admin_listener(move |path| {
        let status = |name: &str, evicted: u64| {
            value!({"name": name, "after_events": {"disk": {"unimplemented_evicted": evicted}}})
        };
        Some(match path {
            "/outbox/targets" => value!(["words", "friends"]),
            "/outbox/count?target=friends" => value!(5),
            "/outbox/replay?target=friends" => value!({"events": 5, "last": null, "replay": {"run": 1, "tried": 0}}),
            "/outbox/undelivered?target=friends" => value!([]),
            // Two more each time, and many of the other policy.
            "/status" => {
                let asked = asked.fetch_add(1, Ordering::Relaxed);
                value!({"policies": [status("words", 100 * asked), status("friends", 7 + 2 * asked)]})
            }
            _ => return None,
        })
    })
    .await;
    let said = json(&["replay", "--all", "--policy", "friends", "--admin", &admin]).await;
    assert_eq!(said, value!({"replayed": 5, "delivered": 3, "evicted": 2, "undelivered": []}));
}
