//! A policy that is away, connections and all: none of what waits is parked, and it goes on in order when that is back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::gate::{GROUP, LONG, Poster, body, directory, with_data};
use crate::support::program::Running;
use crate::support::restartable::{Act, Decide, Policy, anywhere};

/// A delivery: the operation, which is a group and a number, and whether it was late.
type Book = Arc<Mutex<Vec<(String, bool)>>>;

fn taking(book: &Book) -> Decide {
    let book = book.clone();
    Arc::new(move |headers| {
        let operation = headers["openim-operation-id"].to_str().unwrap().to_owned();
        book.lock().unwrap().push((operation, headers.contains_key("hookgate-late")));
        Act::Allow
    })
}

async fn away(name: &str, events: usize, keys: usize, time: Duration) {
    let book = Book::default();
    let policy = Policy::start(anywhere(), taking(&book)).await;
    let yaml = "log: error\nafter: {answer_within: 0s}";
    let gate = Running::of(with_data(&policy.url(), &directory(name), yaml)).await;
    let poster = Poster::new(gate.webhooks);
    let post = async |number: usize| {
        let group = format!("g{}", number % keys);
        let shot = poster.post(GROUP, &format!("{group}/{number}"), body(&group)).await;
        assert_eq!(shot.outcome.as_deref(), Some("accepted"));
    };
    // It answers, and then it is gone.
    post(0).await;
    let taken = async {
        while book.lock().unwrap().is_empty() {
            gate.status().await;
        }
    };
    timeout(LONG, taken).await.expect("it answers");
    let address = policy.stop().await;
    let gone = Instant::now();
    for number in 1..events {
        post(number).await;
    }
    let backlog = loop {
        let backlog = gate.status().await["after_events"]["backlog"].clone();
        assert_eq!(backlog["parked"], 0, "{backlog}");
        if gone.elapsed() >= time {
            break backlog;
        }
    };
    assert_eq!(backlog["events"], events - 1, "{backlog}");
    let _policy = Policy::start(address, taking(&book)).await;
    let back = Instant::now();
    let mut first = None;
    let delivered = async {
        loop {
            let taken = book.lock().unwrap().len();
            first = first.or((taken > 1).then(|| back.elapsed()));
            let backlog = gate.status().await["after_events"]["backlog"].clone();
            assert_eq!(backlog["parked"], 0, "{backlog}");
            if taken >= events && backlog["events"] == 0 {
                return;
            }
        }
    };
    timeout(10 * LONG, delivered).await.expect("all are delivered");
    println!(
        "policy away for {:.0?}, {events} events of {keys} groups: the first delivered {:.1?} after it is back, all {:.1?}",
        back - gone,
        first.unwrap_or_default(),
        back.elapsed()
    );
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (operation, is_late) in &*book.lock().unwrap() {
        assert!(!is_late, "{operation}");
        let (group, number) = operation.split_once('/').unwrap();
        groups.entry(group.to_owned()).or_default().push(number.parse().unwrap());
    }
    assert_eq!(groups.values().map(Vec::len).sum::<usize>(), events, "none twice, as nothing of it was ended by force");
    for (group, numbers) in groups {
        assert!(numbers.is_sorted(), "{group}: {numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_is_away_for_a_while_gets_everything_in_order() {
    away("away", 1_000, 100, Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes eleven minutes; run by: cargo test --release --test it full_away -- --ignored --nocapture"]
async fn full_away_for_ten_minutes() {
    away("away-full", 10_000, 100, Duration::from_secs(600)).await;
}
