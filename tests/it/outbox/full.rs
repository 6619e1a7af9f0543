//! A full disk: what waits on it is delivered before anybody makes room, and dropping makes room.
//!
//! A limit on the size of files stands in for it: the log cannot grow, and the room that is kept for ends is no help. What
//! takes a disk that is really full has a small one of its own, which takes the right to mount it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::bad::{limited, limited_to};
use super::gate::{GROUP, LONG, Ledger, Poster, body, directory, with_data};
use crate::support::program::{Running, hookgate};
use crate::support::restartable::{Act, Policy, anywhere};

async fn disk(gate: &Running) -> Value {
    gate.status().await["after_events"]["disk"].clone()
}

/// Waits until an event finds room on the disk. Others, which do not, are delivered all the same.
async fn until_there_is_room(poster: &Poster) {
    let found =
        async { while poster.post(GROUP, "op-room", body("room")).await.outcome.as_deref() != Some("accepted") {} };
    timeout(LONG, found).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_on_a_full_disk_is_delivered_before_anybody_makes_room() {
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::Fail)).await;
    let yaml = "log: error\nafter: {answer_within: 0s, retry_min: 1h, retry_max: 1h, pause_max: 1h}";
    let gate = Running::of(limited(&with_data(&policy.url(), &directory("full-backlog"), yaml))).await;
    let poster = Poster::new(gate.webhooks);
    let (mut kept, mut unsafe_ones) = (0, 0);
    // Of few keys: most stand behind others.
    while unsafe_ones < 50 {
        let number = kept + unsafe_ones;
        let shot = poster.post(GROUP, &format!("op-{number:04}"), body(&format!("g{}", number % 20))).await;
        match shot.outcome.as_deref() {
            Some("accepted") => kept += 1,
            Some("failed-open:overloaded") => unsafe_ones += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(kept > 0);
    let address = policy.stop().await;
    let _policy = Policy::start(address, ledger.policy(u32::MAX, Duration::ZERO)).await;
    ledger.takes(kept + unsafe_ones).await;
    let order = ledger.order.lock().unwrap().clone();
    for key in 0..20 {
        let of_key = order.iter().filter(|operation| operation[3..].parse::<usize>().unwrap() % 20 == key);
        assert!(of_key.is_sorted(), "{order:?}");
    }
    let empty = async { while gate.status().await["after_events"]["backlog"]["events"] != 0 {} };
    timeout(LONG, empty).await.expect("nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_failed_before_the_disk_was_full_and_since_then_all_go_on_when_the_policy_is_back() {
    let (ledger, tried) = (Ledger::new(), Arc::new(Mutex::new(HashSet::new())));
    let attempted = tried.clone();
    let fail = move |headers: &HeaderMap| {
        // A health check is about none.
        attempted.lock().unwrap().extend(headers.get("hookgate-event-id").cloned());
        Act::Fail
    };
    let policy = Policy::start(anywhere(), Arc::new(fail)).await;
    let yaml = "log: error\nafter: {answer_within: 0s, retry_min: 1h, retry_max: 1h, pause_max: 1ms, hold: 1h}";
    let gate = Running::of(limited_to(2048, &with_data(&policy.url(), &directory("full-tried"), yaml))).await;
    let poster = Poster::new(gate.webhooks);
    let (mut posted, mut unsafe_ones) = (0, 0);
    let tries = async |all: usize| {
        // The question to the gate is the pause.
        let tried = async {
            while tried.lock().unwrap().len() < all {
                disk(&gate).await;
            }
        };
        timeout(LONG, tried).await.expect("each is tried");
    };
    // More than are loaded at once wait in memory, and some in the file.
    while unsafe_ones < 200 {
        let shot = poster.post(GROUP, &format!("op-{posted}"), body(&format!("g{posted}"))).await;
        posted += 1;
        unsafe_ones += usize::from(shot.outcome.as_deref() == Some("failed-open:overloaded"));
        if posted == 20 {
            assert_eq!(unsafe_ones, 0, "the disk is full too soon");
            tries(posted).await;
            let written = async { while disk(&gate).await["unwritten_bytes"] != 0 {} };
            timeout(LONG, written).await.expect("each is in the file");
        }
    }
    tries(posted).await;
    let address = policy.stop().await;
    let _policy = Policy::start(address, ledger.policy(u32::MAX, Duration::ZERO)).await;
    timeout(LONG, ledger.takes(posted)).await.unwrap_or_else(|_| panic!("{} of {posted}", ledger.different()));
}

/// The same, but its directory is a file system of its own with so many MiB, which goes with it.
fn on_a_small_disk(inner: &Command, data: &Path, mebibytes: u32) -> Command {
    std::fs::create_dir_all(data).unwrap();
    let mut small = Command::new("unshare");
    let script = format!(r#"mount -t tmpfs -o size={mebibytes}m none "$1" && shift && exec "$@""#);
    small.args(["-rm", "sh", "-c", &script, "sh"]).arg(data);
    small.arg(inner.as_std().get_program()).args(inner.as_std().get_args());
    small.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    small.stderr(std::process::Stdio::piped()).kill_on_drop(true);
    small
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs unshare -rm; run by: cargo test --release --test it full_disk_of -- --ignored --nocapture"]
async fn full_disk_of_16_000_events() {
    const EVENTS: usize = 16_000;
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::Fail)).await;
    let data = directory("full-16000");
    let yaml = "log: error\nafter: {answer_within: 0s}";
    let gate = Running::of(on_a_small_disk(&with_data(&policy.url(), &data, yaml), &data, 24)).await;
    let poster = Poster::new(gate.webhooks);
    let pad = "x".repeat(1_000);
    let (mut kept, mut unsafe_ones) = (0, 0);
    let began = Instant::now();
    for number in 0..EVENTS {
        let body = format!(r#"{{"sendID":"u1","groupID":"g{}","content":"{pad}"}}"#, number % 500);
        match poster.post(GROUP, &format!("op-{number}"), body).await.outcome.as_deref() {
            Some("accepted") => kept += 1,
            Some("failed-open:overloaded") => unsafe_ones += 1,
            other => panic!("{number}: {other:?}"),
        }
    }
    println!("{EVENTS} events on 24 MiB in {:.1?}: {kept} on disk, {unsafe_ones} in memory", began.elapsed());
    assert!(unsafe_ones > 0, "the disk is full");
    let status = gate.status().await["after_events"].clone();
    assert_eq!(status["undelivered"]["disk"], 0, "{status}");
    let address = policy.stop().await;
    let _policy = Policy::start(address, ledger.policy(u32::MAX, Duration::ZERO)).await;
    let back = Instant::now();
    ledger.takes(EVENTS).await;
    println!("all are delivered {:.1?} after the policy is back", back.elapsed());
    let empty = async { while gate.status().await["after_events"]["backlog"]["events"] != 0 {} };
    timeout(LONG, empty).await.expect("nothing is left");
    until_there_is_room(&poster).await;
    let repeated = ledger.taken.lock().unwrap().values().filter(|times| times.len() > 1).count();
    println!("{repeated} were delivered twice; {}", disk(&gate).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs unshare -rm; run by: cargo test --release --test it full_disk_ -- --ignored --nocapture"]
async fn full_disk_of_dead_letters_has_room_when_they_are_dropped() {
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::Fail)).await;
    let data = directory("full-dead");
    let yaml = "log: error\nafter: {answer_within: 0s, attempts: 1, pause_max: 1ms}";
    let gate = Running::of(on_a_small_disk(&with_data(&policy.url(), &data, yaml), &data, 12)).await;
    let poster = Poster::new(gate.webhooks);
    let pad = "x".repeat(2_000);
    let mut unsafe_ones = 0;
    for number in 0.. {
        let body = format!(r#"{{"sendID":"u1","groupID":"g{number}","content":"{pad}"}}"#);
        let shot = poster.post(GROUP, &format!("op-{number}"), body).await;
        unsafe_ones += u32::from(shot.outcome.as_deref() == Some("failed-open:overloaded"));
        if unsafe_ones > 100 {
            break;
        }
    }
    let before = disk(&gate).await;
    assert!(before["dead"].as_u64().unwrap() > 100, "{before}");
    let admin = format!("http://{}", gate.admin);
    let output = hookgate(&["outbox", "drop", "--all", "--json", "--admin", &admin]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dropped: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("dropped {dropped} of {before}");
    assert!(dropped["dropped"].as_u64() >= before["dead"].as_u64(), "{dropped} of {before}");
    until_there_is_room(&poster).await;
}
