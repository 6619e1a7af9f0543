//! The power fails: what was forced onto the disk is there, and of what was written since any part or none.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hookgate::config::{After, SyncRule};
use hookgate::internals::outbox::{Delivery, Filter, Offline};
use rusqlite::{Connection, OptionalExtension};

use super::gate::{LONG, directory};
use super::inside::{event, on_disk, patient};
use crate::support;

/// What a disk writes in one piece.
const SECTOR: usize = 512;

/// The two files that count.
struct Snapshot {
    file: Vec<u8>,
    log: Vec<u8>,
}

fn snapshot(data: &Path) -> Snapshot {
    let read = |name: &str| fs::read(data.join(name)).unwrap_or_default();
    Snapshot { file: read("outbox.db"), log: read("outbox.db-wal") }
}

/// What is on the disk if the power fails while the second is being written over the first: each sector is the old one
/// or the new one, and the length either too.
fn torn(before: &[u8], after: &[u8]) -> Vec<u8> {
    let length = if fastrand::bool() { before.len() } else { after.len() };
    let mut torn = vec![0; length];
    for at in (0..length).step_by(SECTOR) {
        let end = (at + SECTOR).min(length);
        let from = if fastrand::bool() && end <= after.len() { after } else { before };
        // Beyond its end a file is zeros.
        let end = end.min(from.len());
        if at < end {
            torn[at..end].copy_from_slice(&from[at..end]);
        }
    }
    torn
}

/// The power fails between the two; so many events have to be there.
fn survives(name: &str, answered: usize, before: &Snapshot, after: &Snapshot) {
    let copy = directory(name);
    fs::create_dir_all(&copy).unwrap();
    fs::write(copy.join("outbox.db"), &before.file).unwrap();
    fs::write(copy.join("outbox.db-wal"), torn(&before.log, &after.log)).unwrap();
    let offline = Offline::open(&copy).unwrap();
    let found = offline.list(&Filter { limit: Some(1_000), ..Filter::default() }).unwrap();
    let ids: Vec<_> = found.iter().map(|item| item.id.clone()).collect();
    for number in 0..answered {
        assert!(ids.contains(&format!("e{number}")), "{number} of {answered} is lost: {ids:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_for_survives_a_power_failure_in_the_middle_of_the_next_write() {
    let policy = support::Policy::start(|_| Err(tonic::Status::internal("no"))).await;
    let data = directory("power");
    let events = on_disk(&policy.url(), &After { sync: SyncRule::Each, ..patient() }, &data);
    let mut snapshots = vec![snapshot(&data)];
    const EVENTS: usize = 60;
    for number in 0..EVENTS {
        assert!(matches!(events.deliver(event("g1", &format!("e{number}"))).await, Delivery::Accepted));
        snapshots.push(snapshot(&data));
    }
    let mut tried = 0;
    for answered in 0..EVENTS {
        let (before, after) = (&snapshots[answered], &snapshots[answered + 1]);
        if before.file != after.file {
            // The log went into the file in between, with the disk waited for at each step.
            continue;
        }
        for _ in 0..5 {
            survives("power-copy", answered, before, after);
            tried += 1;
        }
    }
    println!("power failures: {tried}, each in the middle of a commit; lost 0");
    assert!(tried > EVENTS, "{tried}");
}

/// How often what was written has been forced onto the disk while nothing else came.
fn forced(file: &Connection) -> i64 {
    let mark = "select value from marks where name = 'synced'";
    file.query_row(mark, [], |row| row.get(0)).optional().unwrap().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_window_what_was_written_before_it_survives_a_power_failure() {
    // An attempt that ends is written too, and could force the event onto the disk before the window does.
    let policy = support::Policy::start_async(|_| Box::pin(std::future::pending())).await;
    let settings = After { sync: SyncRule::Within(Duration::from_millis(10)), ..patient() };
    let mut tried = 0;
    const ROUNDS: usize = 20;
    for _ in 0..ROUNDS {
        // A new one each time, so that nothing else is to be forced onto the disk.
        let data = directory("power-window");
        let events = on_disk(&policy.url(), &settings, &data);
        let file = Connection::open(data.join("outbox.db")).unwrap();
        let arrive = async |number: usize| {
            assert!(matches!(events.deliver(event("g1", &format!("e{number}"))).await, Delivery::Accepted));
        };
        let before = forced(&file);
        arrive(0).await;
        let window_is_over = async {
            while forced(&file) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, window_is_over).await.expect("it is forced onto the disk");
        let safe = snapshot(&data);
        for number in 1..=3 {
            arrive(number).await;
        }
        let after = snapshot(&data);
        // The log may have gone into the file in between, with the disk waited for at each step.
        if safe.file == after.file {
            for _ in 0..5 {
                survives("power-window-copy", 1, &safe, &after);
                tried += 1;
            }
        }
        events.flush(tokio::time::Instant::now()).await;
    }
    println!("power failures: {tried}, each behind a window; lost 0");
    assert!(tried > ROUNDS, "{tried}");
}
