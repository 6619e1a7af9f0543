//! What becomes of an event when the policy fails.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use hookgate::config::After;
use hookgate::internals::outbox::{Event, Reason};
use tonic::{Code, Status};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;

use super::{
    InMemory, LONG, REGISTER, REMOVE_BLACK, at_once, attempt, event, events, events_in_memory, events_over, id, idle,
    is_accepted, settings, unavailable,
};
use crate::support::Policy;

#[tokio::test]
async fn what_fails_is_tried_again_with_the_same_event_id_until_it_does_not() {
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::Internal,
        Code::Unknown,
        Code::Cancelled,
    ] {
        let calls = AtomicU32::new(0);
        let policy = Policy::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
            0..4 => Err(Status::new(code, "not now")),
            _ => Ok(Vec::new()),
        })
        .await;
        let events = events(&policy, &settings());
        assert!(is_accepted(&events.deliver(event(REMOVE_BLACK, "e1")).await));
        idle(&events).await;
        let calls = policy.take_calls();
        assert_eq!(calls.iter().map(attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5], "{code:?}");
        assert!(calls.iter().all(|call| id(call) == "e1" && call.message == calls[0].message), "{code:?}");
        assert_eq!((events.counts().delivered, events.counts().retried), (1, 4), "{code:?}");
    }
}

#[tokio::test]
async fn an_event_is_tried_so_many_times_and_no_more() {
    let policy = Policy::start(|_| unavailable()).await;
    let events = events(&policy, &After { attempts: 3, ..settings() });
    for id in ["e1", "e2"] {
        assert!(is_accepted(&events.deliver(event(REMOVE_BLACK, id)).await));
    }
    idle(&events).await;
    let calls = policy.take_calls();
    for event_id in ["e1", "e2"] {
        let attempts: Vec<_> = calls.iter().filter(|call| id(call) == event_id).map(attempt).collect();
        assert_eq!(attempts, [1, 2, 3], "{event_id}");
    }
    let counts = events.counts();
    assert_eq!((counts.delivered, counts.retried, counts.undelivered(Reason::Attempts)), (0, 4, 2));
}

/// Lines of the log, of this thread alone: the test's, as others of the process log too.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects what is logged until the guard is dropped.
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        // With one subscriber in the process, tracing asks the thread that comes first to a line whether anybody wants it, for all
        // threads and for good: another test's thread has none.
        static ANOTHER: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(tracing_subscriber::fmt().with_max_level(LevelFilter::OFF).finish()));
        LazyLock::force(&ANOTHER);
        let log = Self::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines that hold all of these parts.
    fn lines(&self, parts: &[&str]) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_event_that_ends_undelivered_has_one_line_in_the_log() {
    let (log, _until_the_end) = Log::begin();
    let policy = Policy::start(|_| Err(Status::unavailable("one cause of many"))).await;
    let events = events(&policy, &After { attempts: 3, ..settings() });
    events.deliver(event(REMOVE_BLACK, "logged")).await;
    idle(&events).await;
    let lines = log.lines(&["event dead-lettered"]);
    let [line] = &lines[..] else { panic!("{lines:#?}") };
    for part in [
        "WARN",
        "command=\"callbackAfterRemoveBlackCommand\"",
        "rpc=\"/openim.policy.v1.RelationPolicyService/AfterRemoveBlack\"",
        "operation_id=\"op-1\"",
        "event_id=\"logged\"",
        "attempts=3",
        "reason=\"attempts\"",
        "class=\"unavailable\"",
        "cause=\"Unavailable: one cause of many\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn what_fails_is_logged_at_once_with_its_cause_and_not_for_each_event() {
    const EVENTS: usize = 5;
    // The status, and the lines of two rpcs' events: a phrase, how many, and the cause.
    let table = [
        (Status::internal("broken"), "event attempt failed", 2, "cause=\"Internal: broken\""),
        (Status::internal("broken"), "event dead-lettered", 2 * EVENTS, "cause=\"Internal: broken\""),
        (Status::unimplemented("no"), "rpc unimplemented, dead-lettering its events", 2, "cause=\"Unimplemented: no\""),
        (Status::unimplemented("no"), "event dead-lettered", 0, ""),
        (Status::unimplemented("no"), "event attempt failed", 0, ""),
    ];
    for (status, phrase, expected, cause) in table {
        let (log, _until_the_end) = Log::begin();
        let (code, answer) = (status.code(), status.clone());
        let policy = Policy::start(move |_| Err(answer.clone())).await;
        let events = events(&policy, &After { attempts: 3, ..settings() });
        for command in [REMOVE_BLACK, REGISTER] {
            for number in 0..EVENTS {
                events.deliver(event(command, &number.to_string())).await;
            }
        }
        idle(&events).await;
        let lines = log.lines(&["WARN", phrase]);
        assert_eq!(lines.len(), expected, "{code:?}, {phrase}: {lines:#?}");
        for line in lines {
            assert!(line.contains(cause) && line.contains("event_id="), "{line}");
        }
    }
}

#[tokio::test]
async fn an_rpc_that_is_implemented_now_and_then_has_one_line_a_minute() {
    let implemented = Arc::new(AtomicBool::new(false));
    let answers = implemented.clone();
    let policy = Policy::start(move |_| match answers.load(Ordering::SeqCst) {
        true => Ok(Vec::new()),
        false => Err(Status::unimplemented("no")),
    })
    .await;
    let (log, _until_the_end) = Log::begin();
    let events = events(&policy, &settings());
    for (number, implements) in [false, true, true, false, false].into_iter().enumerate() {
        implemented.store(implements, Ordering::SeqCst);
        events.deliver(event(REMOVE_BLACK, &number.to_string())).await;
        idle(&events).await;
    }
    assert_eq!((events.counts().delivered, events.counts().undelivered(Reason::Unimplemented)), (2, 3));
    // A second line within a minute would be one of many from a policy whose copies differ.
    assert_eq!(log.lines(&["rpc unimplemented"]).len(), 1);
}

#[tokio::test]
async fn each_attempt_has_the_whole_budget() {
    let policy = Policy::start_async(|_| Box::pin(std::future::pending())).await;
    let events = events(&policy, &After { attempts: 2, ..settings() });
    let impatient = Event { budget: Duration::from_millis(20), ..event(REMOVE_BLACK, "e1") };
    assert!(is_accepted(&events.deliver(impatient).await));
    idle(&events).await;
    assert_eq!(events.counts().undelivered(Reason::Attempts), 1);
    for call in policy.take_calls() {
        // Nanoseconds or microseconds: what was left when the call was made.
        let timeout = call.metadata("grpc-timeout").unwrap();
        let (digits, unit) = timeout.split_at(timeout.len() - 1);
        let unit = match unit {
            "n" => 1,
            "u" => 1_000,
            "m" => 1_000_000,
            other => panic!("{other}"),
        };
        let left = Duration::from_nanos(digits.parse::<u64>().unwrap() * unit);
        assert!(left > Duration::ZERO && left <= Duration::from_millis(20), "{timeout}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_gets_so_old_and_no_older() {
    let second = Duration::from_secs(1);
    for number_of_events in [1, 10] {
        let start = tokio::time::Instant::now();
        let events = events_in_memory(
            |_| Box::pin(async { unavailable() }),
            &After { age: LONG, retry_min: second, retry_max: second, ..at_once() },
        );
        for number in 0..number_of_events {
            events.deliver(event(REMOVE_BLACK, &number.to_string())).await;
        }
        assert_eq!(events.backlog().events, number_of_events);
        events.idle().await;
        let took = start.elapsed();
        // One ends with the last attempt that it may have; where several wait, some wait for the end of a pause.
        let latest = if number_of_events == 1 { LONG } else { LONG + second };
        assert!(took >= LONG - 2 * second && took <= latest, "{took:?}");
        let counts = events.counts();
        assert_eq!((counts.delivered, counts.undelivered(Reason::Age)), (0, number_of_events as u64));
        assert_eq!(counts.undelivered(Reason::Attempts), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_grows_old_while_it_waits_for_its_turn_is_not_sent() {
    let (answer, mut calls) = super::by_hand();
    let events = events_in_memory(answer, &After { age: LONG, concurrency: 1, ..at_once() });
    for id in ["e1", "e2"] {
        events.deliver(event(REMOVE_BLACK, id)).await;
    }
    let pending = calls.recv().await.unwrap();
    tokio::time::advance(LONG - Duration::from_secs(1)).await;
    events.deliver(event(REMOVE_BLACK, "e3")).await;
    assert_eq!(events.backlog().oldest, Some(LONG - Duration::from_secs(1)));
    tokio::time::advance(Duration::from_millis(999)).await;
    pending.succeed();
    let pending = calls.recv().await.unwrap();
    assert_eq!(id(&pending.call), "e2", "it is not that old yet");
    // e2 still has its budget; e3 is older than it may be.
    tokio::time::advance(LONG - Duration::from_millis(500)).await;
    pending.succeed();
    idle(&events).await;
    let counts = events.counts();
    assert_eq!((counts.delivered, counts.retried, counts.undelivered(Reason::Age)), (2, 0, 1));
}

#[tokio::test]
async fn a_panic_costs_an_attempt_and_neither_the_event_nor_the_queue() {
    let calls = AtomicU32::new(0);
    let transport = InMemory(Arc::new(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("on purpose, before the call"),
        1 => Box::pin(async { panic!("on purpose, in the call") }),
        _ => Box::pin(async { Ok(Vec::new()) }),
    }));
    let events = events_over(transport, &settings());
    assert!(is_accepted(&events.deliver(event(REMOVE_BLACK, "e1")).await));
    idle(&events).await;
    assert_eq!((events.counts().delivered, events.counts().retried), (1, 2));
    let delivery = events.deliver(event(REMOVE_BLACK, "e2")).await;
    assert!(matches!(delivery, hookgate::internals::outbox::Delivery::Answered(_)));
}
