//! The bad day in figures: a policy that hangs, is down, restarts, or is slow, under load. Each test prints what it
//! measured and asserts only what a busy machine cannot break. Run by
//! `cargo test --release --test load -- --ignored --nocapture --test-threads 1`.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::config::Config;
use hookgate::events::Reason;
use support::program::{Running, configured, hookgate};
use support::{Gate, Policy, Reply, config};
use tokio::net::TcpListener;
use tokio::time::{Instant, interval};
use tonic::Status;

const BEFORE: &str = "/callbackBeforeAddBlackCommand";
const AFTER: &str = "/callbackAfterRemoveBlackCommand";

/// The smallest, the middle and the worst of some times, and the one that 1 in 100 exceeds.
fn figures(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    format!("p50 {:?}, p99 {:?}, worst {:?} of {}", at(0.5), at(0.99), at(1.0), times.len())
}

fn outcome(reply: &Reply) -> &str {
    assert!(reply.json()["nextCode"].is_i64(), "every reply is well formed");
    reply.headers["hookgate-outcome"].to_str().unwrap()
}

#[tokio::test]
#[ignore = "prints figures"]
async fn a_policy_that_hangs() {
    let policy = Policy::start_async(|_| Box::pin(std::future::pending())).await;
    let mut config = config();
    config.every.budget = Duration::from_millis(500);
    let gate = Arc::new(Gate::configured(&policy.url(), config).await);
    let mut late = Vec::new();
    // The breaker would answer for the policy after twenty.
    for _ in 0..19 {
        let begun = Instant::now();
        assert_eq!(outcome(&gate.post(BEFORE, "{}").await), "failed-closed:deadline");
        late.push(begun.elapsed() - Duration::from_millis(500));
    }
    println!("a policy that hangs: replies after the budget by {}", figures(late));
}

#[tokio::test]
#[ignore = "prints figures"]
async fn a_policy_that_is_down() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gate = Gate::start(&format!("http://{nobody}")).await;
    gate.post(BEFORE, "{}").await;
    let mut times = Vec::new();
    for _ in 0..1_000 {
        let begun = Instant::now();
        assert_eq!(outcome(&gate.post(BEFORE, "{}").await), "failed-closed:unavailable");
        times.push(begun.elapsed());
    }
    println!("a policy that is down: replies after {}", figures(times));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn a_policy_that_restarts_under_500_requests_a_second() {
    // The policy is another hookgate's built-in one, on an address that stays.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let policy = || {
        let free = "127.0.0.1:0";
        let args = ["--listen", free, "--admin-listen", free, "--builtin-listen", &address, "--log", "error"];
        Running::of(hookgate(&args))
    };
    let first = policy().await;
    let gate = Running::of(configured(&format!("http://{address}"), "restarts", "log: error")).await;
    let begun = Instant::now();
    let calls: Arc<Mutex<Vec<(Duration, Duration, String)>>> = Arc::default();
    let load = async {
        let mut due = interval(Duration::from_millis(2));
        let mut sent = Vec::new();
        for _ in 0..3_000 {
            due.tick().await;
            let (calls, uri) = (calls.clone(), format!("http://{}{BEFORE}", gate.webhooks));
            sent.push(tokio::spawn(async move {
                let from = begun.elapsed();
                let reply = support::send(http::Request::post(uri).body("{}".into()).unwrap()).await;
                calls.lock().unwrap().push((from, begun.elapsed(), outcome(&reply).to_owned()));
            }));
        }
        for call in sent {
            call.await.expect("every call has its reply");
        }
    };
    let restart = async {
        tokio::time::sleep_until(begun + Duration::from_secs(2)).await;
        let killed = begun.elapsed();
        first.kill().await;
        tokio::time::sleep_until(begun + Duration::from_secs(3)).await;
        let second = policy().await;
        (killed, begun.elapsed(), second)
    };
    let ((), (killed, back, _second)) = tokio::join!(load, restart);
    let calls = calls.lock().unwrap();
    let failed: Vec<_> = calls.iter().filter(|(.., outcome)| outcome != "allow").collect();
    for (from, to, outcome) in &failed {
        assert!(*to >= killed && *from <= back + Duration::from_millis(500), "{outcome} from {from:?} to {to:?}");
    }
    let first_success = calls.iter().filter(|(_, to, outcome)| *to > back && outcome == "allow").map(|(_, to, _)| *to);
    println!(
        "a policy that restarts: {} calls, {} failed while it was away for {:?}; the last failed {:?} after it was back, \
         the first succeeded {:?} after",
        calls.len(),
        failed.len(),
        back - killed,
        failed.iter().map(|(from, ..)| from.saturating_sub(back)).max().unwrap_or_default(),
        first_success.min().unwrap() - back,
    );
    assert_eq!(calls.len(), 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn a_hundred_thousand_events_at_a_policy_that_is_down_in_the_middle() {
    let delivered: Arc<Mutex<HashSet<String>>> = Arc::default();
    let (calls, seen) = (AtomicU32::new(0), delivered.clone());
    let down = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_down = down.clone();
    let policy = Policy::start(move |call| {
        if is_down.load(Ordering::Relaxed) {
            return Err(Status::unavailable("down"));
        }
        if calls.fetch_add(1, Ordering::Relaxed) % 5 == 0 {
            return Err(Status::internal("one in five"));
        }
        seen.lock().unwrap().insert(call.metadata("hookgate-event-id").unwrap().to_owned());
        Ok(Vec::new())
    })
    .await;
    let mut config = Config::default();
    config.after.retry_max = Duration::from_secs(1);
    let gate = Arc::new(Gate::configured(&policy.url(), config).await);
    let rss = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find(|line| line.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap().to_owned()
    };
    let before = rss();
    let begun = Instant::now();
    let senders: Vec<_> = (0..50)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move {
                for _ in 0..2_000 {
                    let outcome = outcome(&gate.post(AFTER, "{}").await).to_owned();
                    assert!(matches!(&*outcome, "allow" | "accepted"), "{outcome}");
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    down.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let at_worst = (rss(), gate.events.backlog().events);
    down.store(false, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    gate.events.idle().await;
    let counts = gate.events.counts();
    println!(
        "100,000 events in {:?}: {} delivered, {} attempts more; memory of policy, client and hookgate {before} kB before, \
         {} kB with {} waiting",
        begun.elapsed(),
        counts.delivered,
        counts.retried,
        at_worst.0,
        at_worst.1,
    );
    assert!(Reason::ALL.iter().all(|reason| counts.undelivered(*reason) == 0), "{counts:?}");
    assert_eq!((counts.delivered, delivered.lock().unwrap().len()), (100_000, 100_000));
}

#[tokio::test]
#[ignore = "prints figures"]
async fn events_at_a_policy_that_takes_two_seconds() {
    let policy = Policy::start_async(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok(Vec::new())
        })
    })
    .await;
    let gate = Gate::configured(&policy.url(), Config::default()).await;
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for n in 0..500 {
        let begun = Instant::now();
        assert!(matches!(outcome(&gate.post(AFTER, "{}").await), "accepted"));
        // As many as are delivered at a time find no backlog.
        if n < 16 { first.push(begun.elapsed()) } else { later.push(begun.elapsed()) }
    }
    println!("events at a policy of 2 s: at first {}; with a backlog {}", figures(first), figures(later));
}
