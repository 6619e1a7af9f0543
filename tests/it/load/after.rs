//! After events while the policy is down, fails, or is slow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::contract::{Callback, Timing};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use super::Size;
use super::client::{Poster, Shot, assert_well_formed, figures};
use crate::support::program::{Running, configured};
use crate::support::restartable::{Act, Decide, Policy, anywhere};

const COMMAND: &str = "callbackAfterRemoveBlackCommand";

/// The policy's own book of events.
#[derive(Default)]
struct Book {
    calls: usize,
    /// The operation of each event that it took, by event ID, and how often it took it.
    taken: HashMap<String, (String, usize)>,
}

struct Ledger {
    book: Mutex<Book>,
    taken: watch::Sender<usize>,
}

impl Ledger {
    fn new() -> Arc<Self> {
        Arc::new(Self { book: Mutex::default(), taken: watch::Sender::new(0) })
    }

    /// A policy that fails one call in so many and takes the others.
    fn failing_one_in(self: &Arc<Self>, failing: usize) -> Decide {
        let ledger = self.clone();
        Arc::new(move |headers| {
            let mut book = ledger.book.lock().unwrap();
            book.calls += 1;
            if book.calls.is_multiple_of(failing) {
                return Act::Fail;
            }
            let text = |name| headers.get(name).unwrap().to_str().unwrap().to_owned();
            let event = book.taken.entry(text("hookgate-event-id")).or_default();
            event.0 = text("openim-operation-id");
            event.1 += 1;
            ledger.taken.send_replace(book.taken.len());
            Act::Allow
        })
    }

    async fn takes(&self, events: usize) {
        self.taken.subscribe().wait_for(|taken| *taken >= events).await.unwrap();
    }
}

/// Posts events, each with an operation of its own, over so many connections, so many a second in all.
struct Sender {
    workers: JoinSet<Vec<Shot>>,
    sent: watch::Sender<usize>,
}

impl Sender {
    fn start(gate: &Running, events: usize, connections: usize, rate: u32) -> Self {
        let (poster, sent) = (Poster::new(gate.webhooks), watch::Sender::new(0));
        let mut workers = JoinSet::new();
        for worker in 0..connections {
            let (poster, sent) = (poster.clone(), sent.clone());
            workers.spawn(async move {
                let (mut ticks, mut shots) = (interval(Duration::from_secs(1) * connections as u32 / rate), Vec::new());
                for event in (worker..events).step_by(connections) {
                    ticks.tick().await;
                    shots.push(poster.post(COMMAND, &format!("op-{event}")).await);
                    sent.send_modify(|sent| *sent += 1);
                }
                shots
            });
        }
        Self { workers, sent }
    }

    /// Waits until so many have their replies.
    async fn sends(&self, events: usize) {
        self.sent.subscribe().wait_for(|sent| *sent >= events).await.unwrap();
    }

    async fn end(self) -> Vec<Shot> {
        let shots: Vec<_> = self.workers.join_all().await.into_iter().flatten().collect();
        assert_well_formed(&shots);
        shots
    }
}

/// How long the policy is away.
enum Away {
    For(Duration),
    /// Until so many more events have been sent.
    Events(usize),
}

async fn delivered(size: Size, events: usize, rate: u32, away: Away, yaml: &str) {
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), ledger.failing_one_in(5)).await;
    let gate = Running::of(configured(&policy.url(), &format!("delivered-{size:?}"), yaml)).await;
    let (before, _) = gate.memory();
    let begun = Instant::now();
    let sender = Sender::start(&gate, events, 16, rate);
    sender.sends(events / 3).await;
    let address = policy.stop().await;
    match away {
        Away::For(time) => sleep(time).await,
        Away::Events(more) => sender.sends(events / 3 + more).await,
    }
    let missing = ledger.taken.borrow().to_owned();
    let backlog = gate.status().await["after_events"]["backlog"].clone();
    let (_policy, back) = (Policy::start(address, ledger.failing_one_in(5)).await, Instant::now());
    ledger.takes(missing + 1).await;
    let first = back.elapsed();
    let shots = sender.end().await;
    let sent = begun.elapsed();
    ledger.takes(events).await;
    let all = begun.elapsed();
    // hookgate hears of it a moment later.
    while gate.status().await["after_events"]["backlog"]["events"] != 0 {}

    let counts = gate.status().await["after_events"].clone();
    assert_eq!(counts["delivered"], events, "{counts}");
    assert!(counts["undelivered"].as_object().unwrap().values().all(|count| *count == 0), "{counts}");
    let book = ledger.book.lock().unwrap();
    assert_eq!(book.taken.len(), events, "an ID for each event, and each event");
    let mut operations: Vec<_> = book.taken.values().map(|(operation, _)| &**operation).collect();
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), events, "each webhook");
    let twice = book.taken.values().filter(|(_, times)| *times > 1).count();
    let (now, peak) = gate.memory();
    size.say(format_args!(
        "{events} After events at {rate} a second, policy away in the middle, one call in five fails"
    ));
    size.say(format_args!("  replies: {}", figures(&shots)));
    size.say(format_args!(
        "  all sent after {sent:.1?}, all delivered after {all:.1?}; backlog when it came back: {backlog}"
    ));
    size.say(format_args!("  first delivery {first:.1?} after it is back"));
    size.say(format_args!("  calls {}, delivered more than once {twice}, counts {counts}", book.calls));
    size.say(format_args!("  memory of hookgate: {before} KiB before, {peak} KiB at most, {now} KiB after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_after_event_survives_a_policy_that_is_away_and_fails() {
    let yaml = "log: error\nafter: {retry_min: 5ms, retry_max: 50ms}";
    delivered(Size::Small, 3_000, 2_000, Away::Events(1_000), yaml).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run by: cargo test --release --test it load:: -- --ignored --nocapture"]
async fn full_every_after_event_survives() {
    delivered(Size::Full, 100_000, 4_000, Away::For(Duration::from_secs(10)), "log: error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_goes_on_as_soon_as_the_policy_is_back() {
    let ledger = Ledger::new();
    let policy = Policy::start(anywhere(), ledger.failing_one_in(usize::MAX)).await;
    let yaml = "log: error\nafter: {retry_min: 1h, retry_max: 1h, age: 24h}";
    let gate = Running::of(configured(&policy.url(), "resumed", yaml)).await;
    let address = policy.stop().await;
    let sender = Sender::start(&gate, 100, 4, 2_000);
    assert!(sender.end().await.iter().all(|shot| shot.is("accepted")));
    let _policy = Policy::start(address, ledger.failing_one_in(usize::MAX)).await;
    ledger.takes(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_dies_of_an_event_is_not_asked_about_it_as_fast_as_it_comes_back() {
    let (asked, tell) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(0));
    let (count, told) = (asked.clone(), tell.clone());
    let decide: Decide = Arc::new(move |headers| {
        if headers.contains_key("hookgate-event-id") && headers["openim-operation-id"] == "deadly" {
            told.send_replace(count.fetch_add(1, Ordering::SeqCst) + 1);
            return Act::Hang;
        }
        Act::Allow
    });
    let policy = Policy::start(anywhere(), decide).await;
    let yaml = "log: error\nafter: {retry_min: 1h, retry_max: 1h, age: 24h}";
    let gate = Running::of(configured(&policy.url(), "deadly", yaml)).await;
    let poster = Poster::new(gate.webhooks);
    assert!(poster.post(COMMAND, "deadly").await.is("accepted"));
    for _ in 0..10 {
        policy.cut();
        // Over a new connection.
        while !poster.post("callbackBeforeAddBlackCommand", "op-7").await.allowed() {}
        tell.subscribe().wait_for(|times| *times >= 1).await.unwrap();
    }
    assert!(asked.load(Ordering::SeqCst) <= 2, "once, and once more when it was back");
    assert_eq!(gate.status().await["after_events"]["backlog"]["events"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_is_counted_to_the_last_event() {
    let ledger = Ledger::new();
    let (works, decide) = (Arc::new(AtomicBool::new(false)), ledger.failing_one_in(3));
    let switch = works.clone();
    let policy = Policy::start(
        anywhere(),
        Arc::new(move |headers| if switch.load(Ordering::Relaxed) { decide(headers) } else { Act::Fail }),
    )
    .await;
    let yaml = "log: error\nafter: {events: 100, retry_min: 5ms, retry_max: 50ms}";
    let gate = Running::of(configured(&policy.url(), "no-room", yaml)).await;
    let sender = Sender::start(&gate, 1_000, 8, 2_000);
    sender.sends(300).await;
    works.store(true, Ordering::Relaxed);
    let shots = sender.end().await;
    while gate.status().await["after_events"]["backlog"]["events"] != 0 {}

    let dropped = shots.iter().filter(|shot| shot.is("failed-open:overloaded")).count();
    assert!(dropped >= 200, "a hundred of three hundred had room: {dropped}");
    assert!(shots.iter().all(|shot| shot.is("failed-open:overloaded") || shot.is("accepted") || shot.allowed()));
    let counts = &gate.status().await["after_events"];
    let taken = ledger.book.lock().unwrap().taken.len();
    assert_eq!((taken, &counts["delivered"]), (1_000 - dropped, &(1_000 - dropped).into()), "{counts}");
    assert_eq!(counts["undelivered"]["full"], dropped, "{counts}");
}

/// So many events of each rpc begin; then so many of one join its backlog.
async fn slow(size: Size, rpcs: usize, waiting: usize) {
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::AllowAfter(Duration::from_secs(2)))).await;
    let gate = Running::of(configured(&policy.url(), &format!("slow-{size:?}"), "log: error")).await;
    let poster = Poster::new(gate.webhooks);
    let (mut first, mut joining) = (Vec::new(), Vec::new());
    let commands = Callback::all().iter().filter(|row| row.timing == Timing::After).map(|row| row.command);
    for command in commands.take(rpcs) {
        // As many as are delivered at a time.
        for _ in 0..16 {
            first.push(poster.post(command, "op-7").await);
        }
    }
    for _ in 0..16 + waiting {
        joining.push(poster.post(COMMAND, "op-7").await);
    }
    assert_well_formed(first.iter().chain(&joining));
    assert!(first.iter().chain(&joining).all(|shot| shot.is("accepted") || shot.allowed()));
    size.say(format_args!("After events under a policy that takes 2 s, answer_within 50ms"));
    size.say(format_args!("  the first ones: {}", figures(&first)));
    size.say(format_args!("  once there is a backlog: {}", figures(&joining[16..])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_events_of_a_slow_policy_are_allowed() {
    slow(Size::Small, 1, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run by: cargo test --release --test it load:: -- --ignored --nocapture"]
async fn full_slow() {
    slow(Size::Full, 20, 5_000).await;
}
