//! A file that an earlier version has written: it is converted once, and nothing of it is lost.
//!
//! `tests/outbox-v1.db` is the outbox of a hookgate whose tables had version 1, after a stop. Of group g1 an event waits after four
//! attempts, and one behind it; of group g2 one waits after its first. Of g3 four events ended, each for another reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hookgate::config::After;
use hookgate::internals::outbox::{Events, Filter, Offline, State};
use rusqlite::Connection;
use tokio::time::{Instant, timeout};

use super::gate::{LONG, directory};
use super::inside::{on_disk, patient, until};
use crate::support::{self, Call};

/// The file.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outbox-v1.db");

/// The operations of the events that wait, with their group and attempts.
const WAITING: [(&str, &str, u32); 3] = [("waits-1", "g1", 4), ("behind-1", "g1", 0), ("waits-2", "g2", 1)];

/// The operations of those that ended, with the reason and the class of the last failure.
const DEAD: [(&str, &str, &str); 4] = [
    ("dies-attempts", "attempts", "error"),
    ("dies-age", "age", "error"),
    ("dies-unimplemented", "unimplemented", "unimplemented"),
    ("dies-invalid", "invalid_reply", "invalid_reply"),
];

/// A directory of this name with a copy of the file.
fn data(name: &str) -> PathBuf {
    let data = directory(name);
    fs::create_dir_all(&data).unwrap();
    fs::copy(FILE, data.join("outbox.db")).unwrap();
    data
}

/// An event as either version has it: its number, operation, group and attempts.
type Row = (i64, String, Option<String>, u32);

fn rows(file: &Path, table: &str) -> Vec<Row> {
    let connection = Connection::open(file).unwrap();
    let query = format!("select id, metadata ->> 'openim-operation-id', key, attempts from {table} order by id");
    let mut query = connection.prepare(&query).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn operation(call: &Call) -> String {
    call.metadata("openim-operation-id").unwrap().to_owned()
}

fn files(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

/// Returns the version of a file's tables.
fn version(file: &Path) -> i64 {
    Connection::open(file).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Everything that the file had is there.
fn assert_whole(data: &Path) {
    let offline = Offline::open(data).unwrap_or_else(|error| panic!("{error}"));
    let items = offline.list(&Filter::default()).unwrap();
    let shown: BTreeMap<String, _> = items
        .iter()
        .map(|item| {
            let shown = offline.show(&item.id, true).unwrap();
            let operation = shown.metadata.as_ref().unwrap()["openim-operation-id"].as_str().unwrap().to_owned();
            (operation, shown)
        })
        .collect();
    assert_eq!(shown.len(), WAITING.len() + DEAD.len());
    for (operation, group, attempts) in WAITING {
        let item = &shown[operation];
        assert_eq!((item.state, item.key.as_deref(), item.attempts), (State::Waiting, Some(group), attempts));
        assert_eq!((item.due.is_some(), item.parked), (attempts > 0, false), "{operation}");
        assert_eq!(item.message.as_ref().unwrap()["groupID"], group);
    }
    for (operation, reason, class) in DEAD {
        let item = &shown[operation];
        assert_eq!((item.state, item.key.as_deref(), item.attempts), (State::Dead, Some("g3"), 1));
        assert_eq!((item.reason.as_deref(), item.class.as_deref()), (Some(reason), Some(class)));
        assert!(item.died.unwrap() >= item.arrived, "{operation}");
    }
    drop(offline);
    assert_eq!(version(&data.join("outbox.db")), 2);
}

/// Converts, delivers everything to a policy that takes it, and looks at what it gets.
async fn assert_delivered(data: &Path) {
    let (waiting, dead) = (rows(Path::new(FILE), "events"), rows(Path::new(FILE), "dead"));
    let policy = support::Policy::allow().await;
    let events: Events = on_disk(&policy.url(), &After { attempts: 5, ..patient() }, data);
    events.resume();
    timeout(LONG, events.idle()).await.expect("what waited is delivered");
    let calls = policy.take_calls();
    let of_group: Vec<_> = calls.iter().map(operation).filter(|operation| operation.ends_with("-1")).collect();
    assert_eq!(of_group, ["waits-1", "behind-1"]);
    let all = Filter { all: true, state: Some(State::Dead), ..Filter::default() };
    assert_eq!(events.replay(all).await.unwrap().events, DEAD.len());
    timeout(LONG, events.idle()).await.expect("what had ended is delivered");
    let replayed = policy.take_calls();
    for (calls, rows, is_late) in [(calls, waiting, false), (replayed, dead, true)] {
        assert_eq!(calls.len(), rows.len());
        for (number, of, _, attempts) in rows {
            let call = calls.iter().find(|call| operation(call) == of).unwrap_or_else(|| panic!("{of}"));
            assert_eq!(call.metadata("hookgate-sequence"), Some(&*number.to_string()), "{of}");
            assert_eq!(call.metadata("hookgate-attempt"), Some(&*(attempts + 1).to_string()), "{of}");
            assert_eq!(call.metadata("hookgate-late").is_some(), is_late, "{of}");
        }
    }
    // What comes next has a higher number than any of them.
    events.deliver(super::inside::event("g1", "new")).await;
    until("it is delivered", || events.backlog().events == 0).await;
    let highest = rows(Path::new(FILE), "dead").iter().chain(&rows(Path::new(FILE), "events")).map(|row| row.0).max();
    let sequence = policy.take_calls()[0].metadata("hookgate-sequence").unwrap().parse::<i64>().unwrap();
    assert!(Some(sequence) > highest);
    assert_eq!(events.flush(Instant::now() + LONG).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_the_version_before_is_converted_and_nothing_of_it_is_left() {
    assert_eq!(version(Path::new(FILE)), 1);
    let data = data("earlier");
    assert_whole(&data);
    let left = files(&data);
    assert!(
        left.iter().all(|file| ["lock", "outbox.db", "outbox.db-wal", "outbox.db-shm"].contains(&&**file)),
        "{left:?}"
    );
    assert_whole(&data);
    assert_delivered(&data).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversion_that_was_stopped_goes_on() {
    // The new file was not whole.
    let half = data("earlier-half");
    fs::write(half.join("outbox.db.new"), b"half of it").unwrap();
    fs::write(half.join("outbox.db.new-journal"), b"and its journal").unwrap();
    assert_whole(&half);
    assert!(files(&half).iter().all(|file| !file.contains(".new")), "{:?}", files(&half));
    assert_delivered(&half).await;

    // The new file was whole, and the old one put aside.
    let whole = data("earlier-whole");
    drop(Offline::open(&whole).unwrap());
    fs::rename(whole.join("outbox.db"), whole.join("outbox.db.new")).unwrap();
    fs::copy(FILE, whole.join("outbox.db.damaged-1")).unwrap();
    assert_whole(&whole);
    assert!(!whole.join("outbox.db.new").exists());
    assert_delivered(&whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_kill_left_in_the_log_of_the_file_before_is_converted_too() {
    let from = data("earlier-log-from");
    let writes = Connection::open(from.join("outbox.db")).unwrap();
    let last = "pragma journal_mode = wal; pragma wal_autocheckpoint = 0;
        insert into events select id + 100, 'in the log', rpc, 'g9', null, arrived, since, 0, 0, budget, bytes, sum, metadata, message
            from events order by id limit 1;";
    writes.execute_batch(last).unwrap();
    let data = directory("earlier-log");
    fs::create_dir_all(&data).unwrap();
    for file in ["outbox.db", "outbox.db-wal"] {
        fs::copy(from.join(file), data.join(file)).unwrap();
    }
    let items = Offline::open(&data).unwrap().list(&Filter::default()).unwrap();
    assert_eq!(items.len(), WAITING.len() + DEAD.len() + 1);
    assert!(items.iter().any(|item| item.id == "in the log"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_of_the_version_before_is_rescued() {
    const PAGE: usize = 4_096;
    let root = |table: &str| -> u32 {
        let query = "select rootpage from sqlite_schema where name = ?";
        let page: u32 = Connection::open(FILE).unwrap().query_row(query, [table], |row| row.get(0)).unwrap();
        page
    };
    // What is damaged, and how many of the events that wait and of the dead are left.
    for (table, waiting, dead) in [("dead", WAITING.len(), 0), ("events", 0, DEAD.len())] {
        let data = data("earlier-damaged");
        let file = data.join("outbox.db");
        let mut bytes = fs::read(&file).unwrap();
        bytes[(root(table) as usize - 1) * PAGE..][..PAGE].fill(0);
        fs::write(&file, bytes).unwrap();
        let offline = Offline::open(&data).unwrap_or_else(|error| panic!("{table}: {error}"));
        let of = |state| offline.count(&Filter { state: Some(state), ..Filter::default() }).unwrap() as usize;
        assert_eq!((of(State::Waiting), of(State::Dead)), (waiting, dead), "{table}");
        drop(offline);
        assert_eq!(version(&file), 2, "{table}");
        assert!(files(&data).iter().any(|file| file.contains(".damaged-")), "{table}: {:?}", files(&data));
    }
}
