//! A damaged store: it starts, keeps what is whole, and says what is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hookgate::internals::outbox::{Filter, Offline};

use super::gate::{GROUP, Poster, body, directory, with_data};
use crate::support::program::Running;
use crate::support::restartable::{Act, Policy, anywhere};

const EVENTS: usize = 300;
const PAGE: usize = 4_096;

/// A store of so many events that wait, all of it in the file, or with the last of them in the log.
async fn store(name: &str, in_file: bool) -> std::path::PathBuf {
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::Fail)).await;
    let data = directory(name);
    let yaml = "log: error\nafter: {answer_within: 0s, retry_min: 1h, retry_max: 1h, pause_max: 1h}";
    let gate = Running::of(with_data(&policy.url(), &data, yaml)).await;
    let poster = Poster::new(gate.webhooks);
    for number in 0..EVENTS {
        let shot = poster.post(GROUP, &format!("op-{number}"), body(&format!("g{number}"))).await;
        assert_eq!(shot.outcome.as_deref(), Some("accepted"));
    }
    gate.kill().await;
    if in_file {
        drop(Offline::open(&data).unwrap());
    }
    data
}

/// The IDs that are found, each of which can be read whole.
fn found(data: &Path) -> BTreeSet<String> {
    let offline = Offline::open(data).unwrap_or_else(|error| panic!("it starts: {error}"));
    let items = offline.list(&Filter { limit: Some(10 * EVENTS), ..Filter::default() }).unwrap();
    let whole = items.iter().filter(|item| offline.show(&item.id, true).is_ok_and(|item| item.message.is_some()));
    whole.map(|item| item.id.clone()).collect()
}

fn copy(from: &Path, name: &str) -> std::path::PathBuf {
    let to = directory(name);
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to
}

type Damage = Box<dyn Fn(&mut Vec<u8>)>;

fn flip(at: impl Fn(usize) -> usize + 'static) -> Damage {
    Box::new(move |bytes| {
        let at = at(bytes.len());
        bytes[at] ^= 0x55;
    })
}

fn cut(to: impl Fn(usize) -> usize + 'static) -> Damage {
    Box::new(move |bytes| bytes.truncate(to(bytes.len())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_damaged_in_twenty_ways_starts_and_keeps_what_is_whole() {
    let data = store("damage", true).await;
    let all = found(&data);
    assert_eq!(all.len(), EVENTS);
    let pages = fs::metadata(data.join("outbox.db")).unwrap().len() as usize / PAGE;
    // What is done to the file, and how many events of 300 must still be there: a page has up to nine.
    let ways: Vec<(&str, usize, Damage)> = vec![
        ("nothing", EVENTS, Box::new(|_| {})),
        ("cut to nothing", 0, cut(|_| 0)),
        ("cut within the header", 0, cut(|_| 50)),
        ("cut behind the first page", 0, cut(|_| PAGE)),
        ("cut behind half of the pages", EVENTS / 5, cut(move |_| pages / 2 * PAGE)),
        ("cut behind three quarters", EVENTS / 3, cut(move |_| pages * 3 / 4 * PAGE)),
        ("cut behind the last page but one", EVENTS - 20, cut(move |_| (pages - 1) * PAGE)),
        ("cut within the last page", EVENTS - 20, cut(|length| length - 100)),
        ("flipped: the name of the format", EVENTS, flip(|_| 3)),
        ("flipped: the size of a page", EVENTS, flip(|_| 16)),
        ("flipped: how many pages there are", EVENTS, flip(|_| 31)),
        ("flipped: the kind of the first page", EVENTS, flip(|_| 100)),
        ("flipped: the tables' own text", EVENTS, flip(|_| PAGE - 300)),
        ("flipped: a page of the middle", EVENTS - 20, flip(move |_| pages / 2 * PAGE + 1_000)),
        ("flipped: the kind of a page of the middle", EVENTS - 20, flip(move |_| pages / 2 * PAGE)),
        ("flipped: a page at a third", EVENTS - 20, flip(move |_| pages / 3 * PAGE + 4_000)),
        ("flipped: the last byte", EVENTS - 20, flip(|length| length - 1)),
        ("a page of zeros", EVENTS - 20, Box::new(move |bytes| bytes[pages / 2 * PAGE..][..PAGE].fill(0))),
        (
            "a page of noise",
            EVENTS - 20,
            Box::new(move |bytes| bytes[pages / 3 * PAGE..][..PAGE].fill_with(|| fastrand::u8(..))),
        ),
        ("the root of the events", 0, Box::new(|bytes| bytes[2 * PAGE..][..PAGE].fill(0))),
        ("all of it is noise", 0, Box::new(|bytes| bytes.fill_with(|| fastrand::u8(..)))),
    ];
    let mut wrong = Vec::new();
    for (way, least, damage) in ways {
        let copy = copy(&data, "damage-copy");
        let file = copy.join("outbox.db");
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let kept = found(&copy);
        let said = if kept.len() < least || !kept.is_subset(&all) { "WRONG" } else { "" };
        println!("{way}: {} of {EVENTS} are kept (at least {least}) {said}", kept.len());
        if !said.is_empty() {
            wrong.push(way);
        }
        assert_eq!(found(&copy), kept, "and again");
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_costs_what_was_written_after_the_damage_alone() {
    let data = store("damage-log", false).await;
    let all = found(&copy(&data, "damage-log-copy"));
    assert_eq!(all.len(), EVENTS);
    let ways: Vec<(&str, bool, Damage)> = vec![
        ("cut at half", false, cut(|length| length / 2)),
        ("cut at the last byte", false, cut(|length| length - 1)),
        ("flipped in the middle", false, flip(|length| length / 2)),
        ("its header is noise", false, Box::new(|bytes| bytes[..32].fill_with(|| fastrand::u8(..)))),
        (
            "noise at its end",
            true,
            Box::new(|bytes| bytes.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(5_000))),
        ),
    ];
    for (way, nothing_lost, damage) in ways {
        let copy = copy(&data, "damage-log-copy");
        let log = copy.join("outbox.db-wal");
        let mut bytes = fs::read(&log).unwrap();
        damage(&mut bytes);
        fs::write(&log, bytes).unwrap();
        let kept = found(&copy);
        println!("the log, {way}: {} of {EVENTS}", kept.len());
        assert!(kept.is_subset(&all) && (!nothing_lost || kept == all), "{way}");
    }
    for missing in ["outbox.db-wal", "outbox.db-shm", "lock", "outbox.db"] {
        let copy = copy(&data, "damage-log-copy");
        fs::remove_file(copy.join(missing)).unwrap();
        let kept = found(&copy);
        println!("{missing} is missing: {} of {EVENTS}", kept.len());
        assert!(kept.is_subset(&all));
        assert!(!["outbox.db-shm", "lock"].contains(&missing) || kept == all, "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stopped_while_it_was_salvaged_is_salvaged_again() {
    let data = store("damage-stopped", true).await;
    let all = found(&data);
    let file = data.join("outbox.db");
    let good = fs::read(&file).unwrap();
    // Stopped before the new file was whole.
    let mut bytes = good.clone();
    let middle = bytes.len() / PAGE / 2 * PAGE;
    bytes[middle..][..PAGE].fill(0);
    fs::write(&file, &bytes).unwrap();
    fs::write(data.join("outbox.db.new"), b"half of it").unwrap();
    assert!(found(&data).len() >= EVENTS - 20);
    assert!(!data.join("outbox.db.new").exists());
    // Stopped when the damaged file was aside, and the new one not yet in its place.
    fs::remove_file(&file).unwrap();
    fs::write(data.join("outbox.db.new"), &good).unwrap();
    assert_eq!(found(&data), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_stays_as_it_is_where_the_disk_has_no_room_for_a_new_one() {
    let data = store("damage-full", true).await;
    let file = data.join("outbox.db");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / PAGE / 2 * PAGE;
    bytes[middle..][..PAGE].fill(0);
    fs::write(&file, &bytes).unwrap();
    let inner = with_data("http://127.0.0.1:9", &data, "log: error");
    let mut limited = tokio::process::Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 64; exec "$0" "$@""#]);
    limited.arg(inner.as_std().get_program()).args(inner.as_std().get_args()).kill_on_drop(true);
    let output = limited.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("it is damaged") && said.contains("It is left as it is"), "{said}");
    assert!(fs::read(&file).unwrap() == bytes, "it is as it was");
    assert!(found(&data).len() >= EVENTS - 20);
}
