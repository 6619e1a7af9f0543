//! Events that fail for ever: how long the others wait, and that those end.

use std::collections::HashMap;
use std::time::Duration;

use hookgate::config::After;
use hookgate::internals::outbox::{Events, Reason};
use tokio::time::{sleep_until, timeout};
use tonic::Status;

use super::watched::{BUDGET, Book, HOLD, Kind, LATENCY, MESSAGE, SECOND, Says, keyed, settings, watched};

/// How the policy fails an event.
fn failures() -> [Kind; 3] {
    [
        ("status INTERNAL", || Says::No(Status::internal("this one"))),
        ("status UNAVAILABLE", || Says::No(Status::unavailable("this one"))),
        ("time-out", || Says::Nothing),
    ]
}

/// Twelve attempts: a minute or two.
fn mortal() -> After {
    After { attempts: 12, ..settings() }
}

/// The times that events waited from their arrival to their first attempt.
struct Waits(Vec<Duration>);

impl Waits {
    /// Those of the events that are selected; each arrived at its time.
    fn of(book: &Book, arrivals: &HashMap<String, Duration>, selects: impl Fn(&str) -> bool) -> Self {
        let mut firsts: HashMap<String, Duration> = HashMap::new();
        for tried in book.tries() {
            firsts.entry(tried.id).or_insert(tried.at);
        }
        let selected = arrivals.iter().filter(|(id, _)| selects(id));
        let mut waits: Vec<_> = selected.map(|(id, at)| firsts[id] - *at).collect();
        waits.sort();
        assert!(!waits.is_empty());
        Self(waits)
    }

    fn longest(&self) -> Duration {
        self.0[self.0.len() - 1]
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent: usize| self.0[self.0.len() * percent / 100];
        write!(f, "p50 {:.1?} p99 {:.1?} longest {:.1?}", at(50), at(99), self.longest())
    }
}

/// Hands events over, one every so often, until there are none or enough have ended; gives the time of each one's arrival.
async fn feed(
    events: &Events,
    book: &Book,
    every: Duration,
    ids: impl Iterator<Item = (String, String)>,
    is_over: impl Fn() -> bool,
) -> HashMap<String, Duration> {
    let mut arrivals = HashMap::new();
    let began = tokio::time::Instant::now();
    for (number, (key, id)) in ids.enumerate() {
        sleep_until(began + every * number as u32).await;
        if is_over() {
            break;
        }
        arrivals.insert(id.clone(), book.began.elapsed());
        events.deliver(keyed(MESSAGE, &key, &id)).await;
    }
    arrivals
}

async fn one_in_a_hundred(number_of_events: usize, keys: usize) {
    for (kind, fails) in failures() {
        let is_bad = move |number: usize| number.is_multiple_of(101) && number <= number_of_events;
        let number_of = |id: &str| -> usize { id.split_once('/').unwrap().1.parse().unwrap() };
        let (events, book) =
            watched(&mortal(), move |tried| if is_bad(number_of(&tried.id)) { fails() } else { Says::Yes });
        let bad = (1..=number_of_events).filter(|number| is_bad(*number)).count() as u64;
        // Others come until all of the bad ones have ended. Each group has one of those at most.
        let ids = (1..).map(|number| (format!("g{}", number % keys), format!("g{}/{number}", number % keys)));
        let have_ended = || events.counts().undelivered(Reason::Attempts) == bad;
        let arrivals = feed(&events, &book, SECOND / 100, ids, have_ended).await;
        timeout(HOLD, events.idle()).await.expect("nothing waits any more");
        assert_eq!(events.counts().delivered, arrivals.len() as u64 - bad, "{kind}");
        for (key, numbers) in book.by_key() {
            assert!(numbers.is_sorted(), "{kind} {key}: {numbers:?}");
        }
        let waits = Waits::of(&book, &arrivals, |id| !is_bad(number_of(id)));
        println!("one event in a hundred of {keys} groups fails for ever, {kind}: the others wait {waits}");
        // Behind a bad one: the hold, and an attempt that shows that it is over. Before it, probes that take their time.
        let slow = if kind == "time-out" { HOLD / 2 } else { Duration::ZERO };
        assert!(waits.longest() <= HOLD + slow + SECOND, "{kind}: {waits}");
        let ahead = |id: &str| {
            let number = number_of(id);
            !(1..=number).any(|earlier| is_bad(earlier) && earlier % keys == number % keys)
        };
        let waits = Waits::of(&book, &arrivals, ahead);
        println!("  those of groups of which none has failed: {waits}");
        assert!(waits.longest() <= slow + 2 * LATENCY, "{kind}: {waits}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_fails_one_event_in_a_hundred_for_ever() {
    one_in_a_hundred(2_000, 20).await;
}

async fn each_of_a_key(number_of_events: usize) {
    for (kind, fails) in failures() {
        let is_bad = |id: &str| id.starts_with("bad/");
        let (events, book) = watched(&mortal(), move |tried| if is_bad(&tried.id) { fails() } else { Says::Yes });
        let bad = (0..number_of_events).map(|number| ("bad".to_owned(), format!("bad/{number}")));
        let others = (0..).map(|number| (format!("g{}", number % 50), format!("g/{number}")));
        let have_ended = || events.counts().undelivered(Reason::Attempts) as usize == number_of_events;
        let (_, arrivals) = tokio::join!(
            feed(&events, &book, SECOND / 10, bad, || false),
            feed(&events, &book, SECOND / 10, others, have_ended),
        );
        timeout(HOLD, events.idle()).await.expect("nothing waits any more");
        assert_eq!(events.counts().delivered as usize, arrivals.len(), "{kind}");
        // Each had its first attempt in its place.
        let firsts: Vec<_> = book.tries().into_iter().filter(|tried| is_bad(&tried.id) && tried.attempt == 1).collect();
        assert_eq!(firsts.len(), number_of_events, "{kind}");
        assert!(firsts.windows(2).all(|two| two[0].sequence < two[1].sequence), "{kind}");
        let waits = Waits::of(&book, &arrivals, |_| true);
        let [last, all] = [firsts[number_of_events - 1].at, book.tries().last().unwrap().at];
        println!(
            "each of {number_of_events} events of a key fails, {kind}: the others wait {waits}; its last one was tried \
             after {last:.0?}, and all have ended after {all:.0?}"
        );
        assert!(waits.longest() <= 2 * LATENCY, "{kind}: {waits}");
        // Its hold is used up once: from then on each of them has an attempt before the next.
        let longest = HOLD + BUDGET * (number_of_events as u32 + 1);
        assert!(last <= if kind == "time-out" { longest } else { HOLD + 10 * SECOND }, "{kind}: {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_which_each_event_fails() {
    each_of_a_key(50).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "takes minutes; run by: cargo test --release --test it full_forever -- --ignored --nocapture"]
async fn full_forever() {
    one_in_a_hundred(10_000, 100).await;
    each_of_a_key(1_000).await;
}
