//! A long backlog: started with, drained, and not felt by what arrives meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::time::{interval, sleep};

use super::gate::{GROUP, Ledger, Poster, Shot, body, directory, with_data};
use crate::support::program::Running;
use crate::support::restartable::{Act, Decide, Policy, anywhere};

/// Writes so many events as hookgate would have, of so many groups: the one that is there is the pattern.
fn fill(data: &Path, events: i64, groups: i64) {
    let mut connection = Connection::open(data.join("outbox.db")).unwrap();
    let row = "select metadata, message from events limit 1";
    let (metadata, message): (String, Vec<u8>) =
        connection.query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    connection.pragma_update(None, "synchronous", "off").unwrap();
    let transaction = connection.transaction().unwrap();
    {
        let first: i64 = transaction.query_row("select max(id) from events", [], |row| row.get(0)).unwrap();
        let mut insert = transaction
            .prepare(
                "insert into events select ?1, ?2, target, rpc, domain, ?3, null, not ?4, 0, arrived, since, 0, 0, null, budget,
                        bytes, ?5, ?6, ?7
                 from events where id = ?8",
            )
            .unwrap();
        for number in 1..events {
            let id = format!("filled-{number}");
            metadata["hookgate-event-id"] = id.clone().into();
            metadata["openim-operation-id"] = id.clone().into();
            let text = metadata.to_string();
            let mut sum = crc32fast::Hasher::new();
            sum.update(text.as_bytes());
            sum.update(&message);
            let group = format!("filled-{}", number % groups);
            let values = params![
                first + number,
                id,
                group,
                number < groups + 1 && number >= 1,
                sum.finalize(),
                text,
                message,
                first
            ];
            insert.execute(values).unwrap();
        }
    }
    transaction.commit().unwrap();
}

async fn drained(name: &str, events: usize, groups: i64, pad: usize) {
    let fails: Decide = Arc::new(|_| Act::Fail);
    let policy = Policy::start(anywhere(), fails).await;
    let data = directory(name);
    let yaml = "log: error\nafter: {answer_within: 0s}";
    let gate = Running::of(with_data(&policy.url(), &data, yaml)).await;
    let pattern = format!(r#"{{"groupID":"g","content":"{}"}}"#, "x".repeat(pad));
    Poster::new(gate.webhooks).post(GROUP, "op-0", pattern).await;
    let idle = gate.memory().0;
    gate.kill().await;
    fill(&data, events as i64, groups);
    let size = std::fs::metadata(data.join("outbox.db")).unwrap().len() >> 20;

    let ledger = Ledger::new();
    let taking = Policy::start(anywhere(), ledger.policy(u32::MAX, Duration::from_millis(1))).await;
    let began = Instant::now();
    let gate = Running::of(with_data(&taking.url(), &data, yaml)).await;
    let started = began.elapsed();
    let waiting = gate.status().await["after_events"]["backlog"]["events"].as_u64().unwrap();
    assert!(waiting as usize + ledger.different() + 32 >= events, "{waiting} are known at once");
    let poster = Poster::new(gate.webhooks);
    let (mut most, mut shots, mut ticks) = (0, Vec::<Shot>::new(), interval(Duration::from_millis(20)));
    let begun = Instant::now();
    let mut live = 0;
    while ledger.different() < events {
        ticks.tick().await;
        shots.push(poster.post(GROUP, &format!("live-{live}"), body(&format!("live-{live}"))).await);
        live += 1;
        most = most.max(gate.memory().0);
        assert!(begun.elapsed() < Duration::from_secs(3_000));
    }
    let took = begun.elapsed();
    ledger.takes(events + live).await;
    while gate.status().await["after_events"]["backlog"]["events"] != 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let order = ledger.order.lock().unwrap();
    // What arrived meanwhile did not wait for the end.
    let first_live = order.iter().position(|operation| operation.starts_with("live-")).unwrap();
    assert!(first_live < events / 2, "{first_live}");
    let mut times: Vec<_> = shots.iter().map(|shot| shot.took).collect();
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!(
        "backlog of {events} events of {groups} groups ({size} MiB): ready after {started:.2?}, drained in {took:.1?} \
         ({:.0}/s); memory: idle {} MiB, at most {} MiB; live events {live}, replies p50 {:.1?} p99 {:.1?}",
        events as f64 / took.as_secs_f64(),
        idle >> 10,
        most >> 10,
        at(50),
        at(99),
    );
    assert!(shots.iter().all(|shot| shot.outcome.as_deref() == Some("accepted")));
    assert!(most < idle + (30 << 10), "{} KiB and {} KiB", idle, most);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_drained_in_little_memory_and_lets_others_pass() {
    drained("backlog", 5_000, 500, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run by: cargo test --release --test it outbox:: -- --ignored --nocapture --test-threads 1"]
async fn full_backlog() {
    drained("backlog-full", 1_000_000, 100_000, 300).await;
}
