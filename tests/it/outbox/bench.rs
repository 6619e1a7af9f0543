//! What the disk costs a reply: figures alone.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{Instant as Due, sleep_until};

use super::gate::{GROUP, Ledger, Poster, body, directory, with_data};
use crate::support::program::{Running, configured};
use crate::support::restartable::{Policy, anywhere};

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |permille: usize| times[(times.len() * permille / 1000).min(times.len() - 1)];
    format!("n {}  p50 {:.2?}  p99 {:.2?}  max {:.1?}", times.len(), at(500), at(990), at(1000))
}

/// So many a second for so long, evenly, over 64 connections, counted from when each was due; as fast as eight of them can
/// where none is said.
async fn replies(sync: Option<&str>, rate: Option<u32>, time: Duration) -> String {
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), ledger.policy(u32::MAX, Duration::from_millis(1))).await;
    let yaml = |sync| format!("log: error\nafter: {{answer_within: 0s, concurrency: 64{sync}}}");
    let gate = match sync {
        Some(sync) => {
            let yaml = yaml(format!(", sync: '{sync}'"));
            Running::of(with_data(&policy.url(), &directory("bench"), &yaml)).await
        }
        None => Running::of(configured(&policy.url(), "bench", &yaml(String::new()))).await,
    };
    let connections = if rate.is_some() { 64 } else { 8 };
    let every = rate.map(|rate| Duration::from_secs(1) / rate);
    let began = Due::now();
    let mut workers = JoinSet::new();
    for worker in 0..connections {
        let poster = Poster::new(gate.webhooks);
        workers.spawn(async move {
            let mut times = Vec::new();
            for number in 0.. {
                let due = every.map_or_else(Due::now, |every| began + every * (number * connections + worker));
                let behind = due < Due::now();
                sleep_until(due).await;
                if due > began + time {
                    break;
                }
                // Timers are a millisecond late; that is no part of the reply.
                let due = if behind { due } else { Due::now() };
                let group = format!("g{worker}-{}", number % 20);
                let shot = poster.post(GROUP, &format!("{worker}-{number}"), body(&group)).await;
                assert_eq!(shot.outcome.as_deref(), Some("accepted"));
                times.push(due.elapsed());
            }
            times
        });
    }
    let times: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let rate = times.len() as f64 / time.as_secs_f64();
    format!("{rate:.0}/s  {}", percentiles(times))
}

/// What the disk itself takes to have 600 bytes more.
fn fsync() -> String {
    let directory = directory("fsync");
    std::fs::create_dir_all(&directory).unwrap();
    let mut file = File::create(directory.join("file")).unwrap();
    let times = (0..500).map(|_| {
        let began = Instant::now();
        file.write_all(&[7; 600]).unwrap();
        file.sync_data().unwrap();
        began.elapsed()
    });
    percentiles(times.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run by: cargo test --release --test it outbox:: -- --ignored --nocapture --test-threads 1"]
async fn full_replies() {
    let time = Duration::from_secs(8);
    println!("fsync of the disk: {}", fsync());
    for sync in [None, Some("off"), Some("10ms"), Some("each")] {
        let name = sync.unwrap_or("memory");
        println!("reply, {name:7} at 1000/s: {}", replies(sync, Some(1_000), time).await);
        println!("reply, {name:7} saturated: {}", replies(sync, None, time).await);
    }
    println!("fsync of the disk: {}", fsync());
}
