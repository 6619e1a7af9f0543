//! Killed at any moment, again and again, under load: every event whose reply was sent is delivered.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::gate::{GROUP, Ledger, Poster, body, directory, with_data};
use crate::support::program::Running;
use crate::support::restartable::{Policy, anywhere};

/// What was sent, and what of it had a reply that promises something.
#[derive(Default)]
struct Book {
    sent: AtomicUsize,
    answered: std::sync::Mutex<HashSet<String>>,
}

async fn killed(name: &str, sync: &str, kills: u32, rate: u32, life: Duration) {
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), ledger.policy(5, Duration::ZERO)).await;
    let data = directory(name);
    let yaml = format!("log: error\nafter: {{sync: {sync}, answer_within: 5ms, retry_min: 20ms, retry_max: 200ms}}");
    let start = || Running::of(with_data(&policy.url(), &data, &yaml));
    let begun = Instant::now();
    let gate = Arc::new(Mutex::new(Some(start().await)));
    let (book, stop) = (Arc::new(Book::default()), Arc::new(AtomicBool::new(false)));
    let address = Arc::new(std::sync::Mutex::new(gate.lock().await.as_ref().unwrap().webhooks));
    let mut senders = JoinSet::new();
    for worker in 0..16_u32 {
        let (book, stop, address) = (book.clone(), stop.clone(), address.clone());
        senders.spawn(async move {
            let mut ticks = interval(Duration::from_secs(16) / rate);
            let mut to = *address.lock().unwrap();
            let mut poster = Poster::new(to);
            for number in 0.. {
                ticks.tick().await;
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let now = *address.lock().unwrap();
                if now != to {
                    (to, poster) = (now, Poster::new(now));
                }
                let operation = format!("{worker}-{number}");
                book.sent.fetch_add(1, Ordering::Relaxed);
                let shot = poster.post(GROUP, &operation, body(&format!("g{}", number % 50))).await;
                if shot.outcome.is_some_and(|outcome| outcome == "accepted" || outcome == "allow") {
                    book.answered.lock().unwrap().insert(operation);
                }
            }
        });
    }
    for _ in 0..kills {
        sleep(life.mul_f64(0.2 + 0.8 * fastrand::f64())).await;
        // A new one takes the same directory at once.
        gate.lock().await.take().unwrap().kill().await;
        let next = start().await;
        *address.lock().unwrap() = next.webhooks;
        *gate.lock().await = Some(next);
    }
    sleep(life / 2).await;
    stop.store(true, Ordering::Relaxed);
    senders.join_all().await;
    let answered = book.answered.lock().unwrap().clone();
    let missing = || {
        let taken = ledger.taken.lock().unwrap();
        answered.iter().filter(|operation| !taken.contains_key(*operation)).count()
    };
    let patience = Instant::now();
    while missing() > 0 && patience.elapsed() < Duration::from_secs(120) {
        sleep(Duration::from_millis(20)).await;
    }
    let lost = missing();
    let taken = ledger.taken.lock().unwrap();
    let repeated = taken.values().filter(|times| times.len() > 1).count();
    println!(
        "kill -9 {kills} times, sync {sync}, {rate} a second, {:.0?}: sent {}, answered {}, delivered {}, repeated {repeated}, lost {lost}",
        begun.elapsed(),
        book.sent.load(Ordering::Relaxed),
        answered.len(),
        taken.len(),
    );
    assert!(answered.len() > 100, "{} were answered", answered.len());
    assert_eq!(lost, 0);
    for (operation, times) in &*taken {
        assert!(times.iter().all(|one| one.id == times[0].id), "{operation} has one event ID at every delivery");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_that_was_answered_for_is_delivered_though_hookgate_is_killed() {
    killed("killed-10ms", "10ms", 3, 300, Duration::from_millis(800)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_where_each_event_is_forced_onto_the_disk() {
    killed("killed-each", "each", 2, 300, Duration::from_millis(800)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run by: cargo test --release --test it outbox:: -- --ignored --nocapture --test-threads 1"]
async fn full_fifty_kills() {
    killed("killed-full", "10ms", 50, 2_000, Duration::from_secs(2)).await;
    killed("killed-full-each", "each", 50, 2_000, Duration::from_secs(2)).await;
}
