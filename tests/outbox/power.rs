//! The power fails: what was forced onto the disk is there, and of what was written since any part or none.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hookgate::config::{After, Config, SyncRule};
use hookgate::events::{Delivery, Event, Events, Filter, Offline};
use hookgate::policy::{Channel, Metadata, Policy, metadata};

use super::gate::{GROUP, LONG, directory};
use super::support;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_for_survives_a_power_failure_in_the_middle_of_the_next_write() {
    let policy = support::Policy::start(|_| Err(tonic::Status::internal("no"))).await;
    let channel = Channel::connect(policy.url().parse().unwrap(), &Config::default().channel, &Default::default());
    let settings = After {
        answer_within: Duration::ZERO,
        sync: SyncRule::Each,
        retry_min: LONG,
        retry_max: 10 * LONG,
        pause_max: 10 * LONG,
        ..After::on_disk()
    };
    let data = directory("power");
    let events = Arc::new(
        Events::on_disk(Policy::over(channel, 1_000), &settings, hookgate::decisions::Decisions::off(), &data).unwrap(),
    );
    let mut snapshots = vec![snapshot(&data)];
    const EVENTS: usize = 60;
    for number in 0..EVENTS {
        let mut metadata = Metadata::new();
        metadata.insert(metadata::COMMAND, GROUP);
        metadata.insert(metadata::EVENT_ID, &format!("e{number}"));
        let callback = hookgate::callback::Callback::by_command(GROUP).unwrap();
        let event = Event { callback, message: vec![0x1a, 2, b'g', b'1'].into(), metadata, budget: LONG };
        assert!(matches!(events.deliver(event).await, Delivery::Accepted));
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
            let copy = directory("power-copy");
            fs::create_dir_all(&copy).unwrap();
            fs::write(copy.join("outbox.db"), &before.file).unwrap();
            fs::write(copy.join("outbox.db-wal"), torn(&before.log, &after.log)).unwrap();
            let offline = Offline::open(&copy).unwrap();
            let found = offline.list(&Filter { limit: Some(1_000), ..Filter::default() }).unwrap();
            let ids: Vec<_> = found.iter().map(|item| item.id.clone()).collect();
            for number in 0..answered {
                assert!(ids.contains(&format!("e{number}")), "{number} of {answered} is lost: {ids:?}");
            }
            tried += 1;
        }
    }
    println!("power failures: {tried}, each in the middle of a commit; lost 0");
    assert!(tried > EVENTS, "{tried}");
}
