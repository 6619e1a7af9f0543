//! Directories, clocks and events that are not as they should be.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tokio::process::Command;

use super::gate::{GROUP, LONG, Ledger, Poster, body, directory, with_data};
use crate::support::program::{Running, hookgate};
use crate::support::restartable::{Act, Policy, anywhere};

/// A policy that nobody is at.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Its exit code and what it says, where it does not start.
async fn refused(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_directory_that_is_a_file_or_cannot_be_made_is_a_mistake() {
    let file = directory("file");
    fs::write(&file, "not a directory").unwrap();
    let (code, said) = refused(with_data(NOWHERE, &file, "log: error")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("it is not a directory") && said.contains("--data"), "{said}");
    fs::remove_file(&file).unwrap();

    let (code, said) = refused(with_data(NOWHERE, Path::new("/proc/hookgate"), "log: error")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/proc/hookgate: it cannot be made"), "{said}");
}

#[tokio::test]
async fn a_second_hookgate_on_one_directory_says_so() {
    let data = directory("twice");
    let _first = Running::of(with_data(NOWHERE, &data, "log: error")).await;
    let (code, said) = refused(with_data(NOWHERE, &data, "log: error")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another hookgate uses this directory"), "{said}");
    // Without the file that earlier versions lock, and by another name.
    fs::remove_file(data.join("lock")).unwrap();
    let link = directory("twice-link");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&data, &link).unwrap();
    for name in [&data, &link] {
        let (code, said) = refused(with_data(NOWHERE, name, "log: error")).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("another hookgate uses this directory"), "{said}");
    }
    let by_hand = hookgate(&["outbox", "--data", data.to_str().unwrap()]).output().await.unwrap();
    let said = String::from_utf8(by_hand.stderr).unwrap();
    assert!(!by_hand.status.success() && said.contains("another hookgate uses this directory"), "{said}");
}

#[tokio::test]
async fn an_earlier_version_that_locks_the_file_alone_is_not_run_over() {
    let data = directory("earlier");
    fs::create_dir_all(&data).unwrap();
    let lock = fs::File::create(data.join("lock")).unwrap();
    lock.lock().unwrap();
    let (code, said) = refused(with_data(NOWHERE, &data, "log: error")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another hookgate uses this directory"), "{said}");
}

#[tokio::test]
async fn of_two_that_start_at_once_one_serves() {
    let data = directory("at-once");
    let started = [0, 1].map(|_| with_data(NOWHERE, &data, "log: error").spawn().unwrap());
    let [mut one, mut other] = started;
    // One ends by itself; the other goes on until it is told to.
    let ended = tokio::select! {
        ended = one.wait() => (ended, other.try_wait()),
        ended = other.wait() => (ended, one.try_wait()),
    };
    assert_eq!(ended.0.unwrap().code(), Some(1));
    assert!(ended.1.unwrap().is_none(), "the other one serves");
}

#[tokio::test]
async fn a_file_of_another_version_or_program_is_left_alone() {
    let data = directory("version");
    Running::of(with_data(NOWHERE, &data, "log: error")).await.kill().await;
    let file = data.join("outbox.db");
    for (pragma, sentence) in [
        ("pragma user_version = 99", "a newer hookgate wrote it (version 99"),
        ("pragma application_id = 7", "it is a database of another program"),
    ] {
        Connection::open(&file).unwrap().execute_batch(pragma).unwrap();
        let (code, said) = refused(with_data(NOWHERE, &data, "log: error")).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
    fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("create table theirs (id integer)").unwrap();
    let before = fs::read(&file).unwrap();
    let (code, said) = refused(with_data(NOWHERE, &data, "log: error")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it is a database of another program"), "{said}");
    assert!(fs::read(&file).unwrap() == before, "it is as it was");
}

#[tokio::test]
async fn nobody_else_can_read_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let data = directory("private");
    let gate = Running::of(with_data(NOWHERE, &data, "log: error")).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["outbox.db", "outbox.db-wal", "outbox.db-shm", "lock"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    drop(gate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_that_is_free_goes_back_to_the_disk() {
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), std::sync::Arc::new(|_| Act::Fail)).await;
    let data = directory("free-pages");
    let yaml = "log: error\nafter: {answer_within: 0s, retry_min: 10ms, retry_max: 100ms}";
    let gate = Running::of(with_data(&policy.url(), &data, yaml)).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..200 {
        poster.post(GROUP, &format!("op-{number}"), body(&format!("g{number}"))).await;
    }
    gate.kill().await;
    drop(hookgate::internals::outbox::Offline::open(&data).unwrap());
    let size = || fs::metadata(data.join("outbox.db")).unwrap().len();
    let full = size();
    let address = policy.stop().await;
    let policy = Policy::start(address, ledger.policy(u32::MAX, Duration::ZERO)).await;
    let gate = Running::of(with_data(&policy.url(), &data, yaml)).await;
    ledger.takes(200).await;
    let smaller = async {
        while size() > full / 2 {
            gate.status().await;
        }
    };
    tokio::time::timeout(LONG, smaller).await.expect("the file becomes smaller");
}

#[tokio::test]
async fn what_makes_no_sense_without_a_directory_is_refused() {
    let command = crate::support::program::configured(NOWHERE, "no-sense", "after: {sync: each}");
    let (code, said) = refused(command).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("after.sync") && said.contains("has no effect without data"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_finds_no_room_is_counted() {
    let policy = Policy::start(anywhere(), std::sync::Arc::new(|_| Act::Fail)).await;
    let yaml =
        "log: error\nlimits: {body: 2KiB}\nafter: {answer_within: 0s, bytes: 2KiB, retry_min: 1h, retry_max: 1h}";
    let gate = Running::of(with_data(&policy.url(), &directory("no-room"), yaml)).await;
    let poster = Poster::new(gate.webhooks);
    let large = format!(r#"{{"groupID":"g1","content":"{}"}}"#, "x".repeat(1_900));
    let shot = poster.post(GROUP, "op-1", large).await;
    assert_eq!(shot.outcome.as_deref(), Some("failed-open:overloaded"), "OpenIM goes on");
    assert_eq!(gate.status().await["after_events"]["undelivered"]["full"], 1);
    assert_eq!(poster.post(GROUP, "op-2", body("g1")).await.outcome.as_deref(), Some("accepted"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_makes_room_where_the_operator_says_so() {
    let policy = Policy::start(anywhere(), std::sync::Arc::new(|_| Act::Fail)).await;
    let yaml = "log: error\nlimits: {body: 2KiB}\nafter: {answer_within: 0s, bytes: 4KiB, attempts: 1, when_full: drop_dead, pause_max: 1ms}";
    let gate = Running::of(with_data(&policy.url(), &directory("drop-dead"), yaml)).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..50 {
        let shot = poster.post(GROUP, &format!("op-{number}"), body("g1")).await;
        assert_eq!(shot.outcome.as_deref(), Some("accepted"), "{number}");
        while gate.status().await["after_events"]["backlog"]["events"] != 0 {}
    }
    let disk = gate.status().await["after_events"]["disk"].clone();
    assert!(disk["dead_bytes"].as_u64().unwrap() <= 4 << 10, "{disk}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_takes_no_room_of_what_arrives() {
    let policy = Policy::start(anywhere(), std::sync::Arc::new(|_| Act::Fail)).await;
    let yaml = "log: error\nlimits: {body: 2KiB}\nafter: {answer_within: 0s, bytes: 4KiB, attempts: 1, pause_max: 1ms}";
    let gate = Running::of(with_data(&policy.url(), &directory("dead-room"), yaml)).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..50 {
        let shot = poster.post(GROUP, &format!("op-{number}"), body("g1")).await;
        assert_eq!(shot.outcome.as_deref(), Some("accepted"), "{number}");
        let dead = async { while gate.status().await["after_events"]["disk"]["dead"] != number + 1 {} };
        tokio::time::timeout(LONG, dead).await.unwrap();
    }
    let disk = gate.status().await["after_events"]["disk"].clone();
    assert!(disk["dead_bytes"].as_u64().unwrap() > 4 << 10, "{disk}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_set_back_delays_nothing() {
    let policy = Policy::start(anywhere(), std::sync::Arc::new(|_| Act::Fail)).await;
    let data = directory("clock");
    let gate = Running::of(with_data(&policy.url(), &data, "log: error\nafter: {answer_within: 0s}")).await;
    Poster::new(gate.webhooks).post(GROUP, "op-1", body("g1")).await;
    gate.kill().await;
    // As if it had been written a year from now.
    let ahead =
        "update events set arrived = arrived + 31536000000, since = since + 31536000000, due = due + 31536000000";
    Connection::open(data.join("outbox.db")).unwrap().execute_batch(ahead).unwrap();
    let ledger = Ledger::new();
    let taking = Policy::start(anywhere(), ledger.policy(u32::MAX, Duration::ZERO)).await;
    let _gate = Running::of(with_data(&taking.url(), &data, "log: error")).await;
    tokio::time::timeout(LONG, ledger.takes(1)).await.unwrap();
}

/// The same, but no file may become larger than a few KiB; a write beyond that fails and ends nobody.
pub fn limited(inner: &Command) -> Command {
    limited_to(256, inner)
}

/// The same, but no file may become larger than so many blocks of 512 bytes or of 1 KiB, as the shell has them.
pub fn limited_to(blocks: u32, inner: &Command) -> Command {
    let mut limited = Command::new("sh");
    let script = format!(r#"trap "" XFSZ; ulimit -f {blocks}; exec "$0" "$@""#);
    limited.args(["-c", &script]).arg(inner.as_std().get_program()).args(inner.as_std().get_args());
    limited.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    limited.stderr(std::process::Stdio::piped()).kill_on_drop(true);
    limited
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_says_how_many_events_the_disk_did_not_take() {
    let policy = Policy::start(anywhere(), std::sync::Arc::new(|_| Act::Fail)).await;
    let data = directory("full-stop");
    let yaml = "log: info\ndrain: {delay: 0s}\nafter: {answer_within: 0s, retry_min: 1h, retry_max: 1h, pause_max: 1h}";
    let gate = Running::of(limited(&with_data(&policy.url(), &data, yaml))).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..500 {
        poster.post(GROUP, &format!("op-{number}"), body(&format!("g{number}"))).await;
    }
    gate.signal("-TERM").await;
    let (_, said) = gate.end().await;
    let count = "select count(*) from events";
    let kept: i64 = Connection::open(data.join("outbox.db")).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
    assert!(0 < kept && kept < 500, "{kept} are on disk");
    let line = |words| said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{said}"));
    assert!(line("events lost at shutdown").contains(&(500 - kept).to_string()), "{kept}: {said}");
    assert!(line("events left on disk").contains(&kept.to_string()), "{kept}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_more_loses_nothing_while_hookgate_runs() {
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), std::sync::Arc::new(|_| Act::Fail)).await;
    let data = directory("full-disk");
    let yaml = "log: error\nafter: {answer_within: 0s, retry_min: 10ms, retry_max: 100ms}";
    let gate = Running::of(limited(&with_data(&policy.url(), &data, yaml))).await;
    let poster = Poster::new(gate.webhooks);
    let (mut kept, mut unsafe_ones) = (0, 0);
    for number in 0..500 {
        match poster.post(GROUP, &format!("op-{number}"), body(&format!("g{number}"))).await.outcome.as_deref() {
            Some("accepted") => kept += 1,
            Some("failed-open:overloaded") => unsafe_ones += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(kept > 0 && unsafe_ones > 0, "{kept} are on disk, {unsafe_ones} in memory");
    let disk = gate.status().await["after_events"]["disk"].clone();
    assert!(disk["unwritten_bytes"].as_u64().unwrap() > 0, "{disk}");
    let address = policy.stop().await;
    let _policy = Policy::start(address, ledger.policy(u32::MAX, Duration::ZERO)).await;
    ledger.takes(500).await;
    assert_eq!(gate.status().await["after_events"]["undelivered"]["full"], 0);
}
