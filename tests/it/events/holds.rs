//! How long a failing event holds up those behind it, and what becomes of it then.

use std::time::Duration;

use hookgate::config::After;
use hookgate::internals::outbox::{Backlog, Reason};
use tokio::time::{sleep, sleep_until, timeout};
use tonic::Status;

use super::watched::{BUDGET, HOLD, Kind, LATENCY, MESSAGE, Others, SECOND, Says, keyed, settings, watched};
use super::{LONG, REMOVE_BLACK, event};

/// How a policy can fail an event while it answers others.
fn failures() -> [Kind; 4] {
    [
        ("internal", || Says::No(Status::internal("this one"))),
        ("unavailable", || Says::No(Status::unavailable("this one"))),
        ("overloaded", || Says::No(Status::resource_exhausted("this one"))),
        ("nothing", || Says::Nothing),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_failing_event_holds_up_its_key_for_the_hold_and_no_other_key_at_all() {
    for (kind, fails) in failures() {
        let (events, book) = watched(&settings(), move |tried| if tried.id == "bad" { fails() } else { Says::Yes });
        let others = Others::start(&events, &book);
        sleep(SECOND).await;
        let began = book.began.elapsed();
        for id in ["bad", "next", "last"] {
            events.deliver(keyed(MESSAGE, "g", id)).await;
        }
        sleep(HOLD - SECOND).await;
        let backlog = events.backlog();
        assert_eq!((backlog.parked, backlog.blocked_keys), (0, 1), "{kind}");
        sleep(2 * BUDGET).await;
        let backlog = events.backlog();
        let is_tried_now = backlog.rpcs[0].in_flight;
        assert_eq!((backlog.events, backlog.parked + is_tried_now, backlog.blocked_keys), (1, 1, 0), "{kind}");
        let (next, last) = (book.first("next") - began, book.first("last") - began);
        // The attempt that shows that the hold is over may take its time.
        let longest = HOLD + SECOND + if kind == "nothing" { BUDGET } else { Duration::ZERO };
        assert!((HOLD..longest).contains(&next), "{kind}: {next:?}");
        assert!(last - next <= 2 * LATENCY, "{kind}: {next:?} and {last:?}");
        let (number, waited) = others.end(&book).await;
        assert!(number > 300 && waited <= 2 * BUDGET / 1_000, "{kind}: one of {number} others waited for {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_other_event_a_status_of_its_own_is_held_no_longer() {
    let refuses = |id: &str| if id == "bad" { Says::No(Status::internal("this one")) } else { Says::Yes };
    let (events, book) = watched(&settings(), move |tried| refuses(&tried.id));
    for id in ["bad", "next"] {
        events.deliver(keyed(MESSAGE, "g", id)).await;
    }
    sleep(2 * HOLD).await;
    let next = book.first("next");
    assert!((HOLD..HOLD + SECOND / 10).contains(&next), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_a_budget_of_the_key_and_a_success_gives_it_back() {
    let (events, book) = watched(&settings(), |tried| {
        if tried.id.starts_with("bad") { Says::No(Status::internal("this one")) } else { Says::Yes }
    });
    for id in ["bad-1", "bad-2", "bad-3", "good", "bad-4", "after"] {
        events.deliver(keyed(MESSAGE, "g", id)).await;
    }
    sleep(3 * HOLD).await;
    let firsts = ["bad-1", "bad-2", "bad-3", "good", "bad-4", "after"].map(|id| book.first(id));
    assert!((HOLD..HOLD + SECOND / 10).contains(&firsts[1]), "{firsts:?}");
    // Each of them is parked after an attempt.
    assert!(firsts[3] - firsts[1] <= 5 * LATENCY, "{firsts:?}");
    assert!(firsts[4] - firsts[3] <= 2 * LATENCY, "{firsts:?}");
    let held = firsts[5] - firsts[4];
    assert!((HOLD..HOLD + SECOND / 10).contains(&held), "{firsts:?}");
    let backlog = events.backlog();
    assert_eq!((backlog.events, backlog.parked, backlog.blocked_keys), (4, 4, 0));

    // Parked ones of a key fail for ever, and yet it has its whole hold after the success.
    events.deliver(keyed(MESSAGE, "g", "bad-5")).await;
    let began = book.began.elapsed();
    events.deliver(keyed(MESSAGE, "g", "later")).await;
    sleep(HOLD + SECOND).await;
    let held = book.first("later") - began;
    assert!((HOLD..HOLD + SECOND / 10).contains(&held), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_hold_that_was_used_comes_back_with_a_success() {
    let (events, book) = watched(&settings(), |tried| match &*tried.id {
        "slow" if tried.at < 2 * HOLD / 3 => Says::No(Status::internal("not yet")),
        "bad" => Says::No(Status::internal("this one")),
        _ => Says::Yes,
    });
    for id in ["slow", "bad", "after"] {
        events.deliver(keyed(MESSAGE, "g", id)).await;
    }
    sleep(3 * HOLD).await;
    let held = book.first("after") - book.first("bad");
    assert!((HOLD..HOLD + SECOND / 10).contains(&held), "{held:?}");
    assert!(!book.of("slow").iter().any(|tried| tried.is_late));
}

#[tokio::test(start_paused = true)]
async fn what_an_event_used_of_the_hold_stays_used_when_it_ends_undelivered() {
    // Each of them fails for some ten seconds.
    let settings = After { schedule: vec![SECOND], attempts: 14, ..settings() };
    let (events, book) = watched(&settings, |tried| {
        if tried.id.starts_with("bad") { Says::No(Status::internal("this one")) } else { Says::Yes }
    });
    for number in 0..20 {
        events.deliver(keyed(MESSAGE, "g", &format!("bad-{number}"))).await;
    }
    events.deliver(keyed(MESSAGE, "g", "good")).await;
    sleep(2 * HOLD).await;
    let good = book.first("good");
    assert!((HOLD..HOLD + SECOND).contains(&good), "{good:?}");
}

#[tokio::test(start_paused = true)]
async fn a_parked_event_goes_on_by_its_schedule_says_that_it_is_late_and_succeeds_later() {
    let schedule = vec![SECOND, 20 * SECOND];
    let settings = After { schedule: schedule.clone(), ..settings() };
    let (events, book) = watched(&settings, |tried| {
        let is_over = tried.at > 10 * HOLD;
        if tried.id == "bad" && !is_over { Says::No(Status::internal("not yet")) } else { Says::Yes }
    });
    for id in ["bad", "next"] {
        events.deliver(keyed(MESSAGE, "g", id)).await;
    }
    timeout(20 * HOLD, events.idle()).await.expect("it is delivered in the end");
    let tries = book.of("bad");
    assert!(tries.iter().map(|tried| tried.attempt).eq(1..=tries.len() as u32), "{tries:#?}");
    assert!(tries.iter().all(|tried| tried.sequence == tries[0].sequence && tried.sequence.is_some()));
    let parked = tries.iter().position(|tried| tried.is_late).expect("it is late in the end");
    assert!((HOLD..2 * HOLD).contains(&tries[parked].at), "{tries:#?}");
    assert!(tries[parked..].iter().all(|tried| tried.is_late), "{tries:#?}");
    // The last attempt before that is at the end of the hold.
    assert!((HOLD..HOLD + SECOND / 10).contains(&tries[parked - 1].at), "{tries:#?}");
    for pair in tries[parked - 1..].windows(2) {
        let pause = pair[1].at - pair[0].at;
        let longest = schedule[1] + 2 * LATENCY;
        assert!((schedule[1] / 2..=longest).contains(&pause), "{pause:?} between {pair:#?}");
    }
    assert_eq!((events.counts().delivered, events.backlog()), (2, Backlog::default()));
}

#[tokio::test(start_paused = true)]
async fn a_hold_of_nothing_parks_an_event_after_its_first_failure() {
    for (kind, fails) in failures() {
        let settings = After { hold: Duration::ZERO, ..settings() };
        let (events, book) = watched(&settings, move |tried| if tried.id == "bad" { fails() } else { Says::Yes });
        let others = Others::start(&events, &book);
        sleep(SECOND).await;
        let began = book.began.elapsed();
        for id in ["bad", "next"] {
            events.deliver(keyed(MESSAGE, "g", id)).await;
        }
        sleep(2 * BUDGET).await;
        let next = book.first("next") - began;
        let longest = 2 * LATENCY + if kind == "nothing" { BUDGET } else { Duration::ZERO };
        assert!(next <= longest, "{kind}: {next:?}");
        let bad = book.of("bad");
        assert!(bad.iter().all(|tried| tried.is_late == (tried.attempt > 1)), "{kind}: {bad:#?}");
        let (_, waited) = others.end(&book).await;
        assert!(waited <= 2 * LATENCY, "{kind}: one of the others waited for {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_no_attempt_can_change_ends_the_event_at_once() {
    let go = "grpc: received message larger than max (5 vs. 4)";
    let tonic = "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes";
    let java = "gRPC message exceeds maximum size 4: 5";
    type Row = (&'static str, Reason, fn(&str) -> Says);
    let table: [Row; 5] = [
        (go, Reason::RefusedSize, |text| Says::No(Status::resource_exhausted(text))),
        (tonic, Reason::RefusedSize, |text| Says::No(Status::out_of_range(text))),
        (java, Reason::RefusedSize, |text| Says::No(Status::resource_exhausted(text))),
        ("no", Reason::Unimplemented, |text| Says::No(Status::unimplemented(text))),
        ("", Reason::InvalidReply, |_| Says::Nonsense),
    ];
    for (text, reason, says) in table {
        let (events, book) = watched(&settings(), move |tried| if tried.id == "bad" { says(text) } else { Says::Yes });
        for id in ["bad", "next"] {
            events.deliver(keyed(MESSAGE, "g", id)).await;
        }
        timeout(SECOND, events.idle()).await.unwrap_or_else(|_| panic!("{reason:?}: {text}"));
        assert_eq!(book.of("bad").len(), 1, "{reason:?}: {text}");
        assert_eq!((events.counts().delivered, events.counts().undelivered(reason)), (1, 1), "{reason:?}: {text}");
        assert_eq!((events.counts().retried, book.is_any_late()), (0, false), "{reason:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_too_busy_for_now_is_asked_again() {
    let busy = "grpc: the server is out of workers";
    let (events, book) =
        watched(
            &settings(),
            move |tried| {
                if tried.attempt < 3 { Says::No(Status::resource_exhausted(busy)) } else { Says::Yes }
            },
        );
    events.deliver(keyed(MESSAGE, "g", "e")).await;
    timeout(LONG, events.idle()).await.expect("it is delivered");
    assert_eq!((book.of("e").len(), events.counts().delivered), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn events_without_a_key_hold_up_nothing_and_are_never_late() {
    let (events, book) =
        watched(
            &settings(),
            |tried| {
                if tried.id == "bad" { Says::No(Status::internal("this one")) } else { Says::Yes }
            },
        );
    events.deliver(event(REMOVE_BLACK, "bad")).await;
    for number in 0..50 {
        sleep_until(book.began + number * SECOND).await;
        let id = format!("e{number}");
        events.deliver(event(REMOVE_BLACK, &id)).await;
        sleep(2 * LATENCY).await;
        assert_eq!(events.counts().delivered, u64::from(number) + 1);
    }
    sleep(10 * HOLD).await;
    assert!(book.of("bad").len() > 20);
    assert!(book.tries().iter().all(|tried| tried.sequence.is_none() && !tried.is_late));
}
