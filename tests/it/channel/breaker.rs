//! A policy that does not answer is not asked for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hookgate::config::Class;
use hookgate::config::{self, PolicyTls};
use hookgate::internals::policy::BreakerState;
use hookgate::internals::policy::Channel;
use http_body_util::BodyExt;
use tokio::sync::Notify;

use super::server::{
    ANY, Call, Server, allow, allowed, ask, ask_of, ask_within, asked, asking, failed, hang, ready, settings, until,
};
use crate::support::nobody;

const OPEN_FOR: Duration = Duration::from_millis(500);

fn breaking(address: std::net::SocketAddr, open: Duration) -> Channel {
    let settings = config::Channel { breaker_failures: 3, breaker_open: open, ..settings() };
    Channel::connect(format!("http://{address}").parse().unwrap(), &settings, &PolicyTls::default())
}

#[tokio::test]
async fn calls_without_an_answer_open_it_and_one_call_tries() {
    let answers = Arc::new(AtomicBool::new(false));
    let (server, channel) = silent(&answers, OPEN_FOR).await;
    let state = || channel.status().breaker;
    // Whether it opens for the first time, or again after a try.
    for tries in [3, 1] {
        let began = Instant::now();
        for _ in 0..tries {
            let failure = ask_within(&channel, Duration::from_millis(5)).await.unwrap_err();
            assert_eq!(failure.class, Class::Deadline);
        }
        let seen = server.calls();
        let failure = ask_within(&channel, Duration::from_millis(5)).await.unwrap_err();
        // Unless this machine has slept over it.
        if began.elapsed() < OPEN_FOR {
            assert!(failure.cause.contains("the breaker is open"), "{failure}");
            assert_eq!(server.calls(), seen, "nobody is asked while it is open");
        }
        while state() == BreakerState::Open {
            tokio::task::yield_now().await;
        }
        assert_eq!(state(), BreakerState::HalfOpen);
    }
    answers.store(true, Ordering::SeqCst);
    asked(&channel).await;
    assert_eq!(state(), BreakerState::Closed);
}

/// A policy that answers no call before `answers` says so, and a channel that is connected to it.
async fn silent(answers: &Arc<AtomicBool>, open: Duration) -> (Server, Channel) {
    let answers = answers.clone();
    let server =
        Server::at(ANY, move |call| if answers.load(Ordering::SeqCst) { allow(call) } else { hang(call) }).await;
    let channel = breaking(server.address, open);
    until(&channel, |status| ready(status) == 1).await;
    (server, channel)
}

async fn unanswered(channel: &Channel) {
    let failure = ask_within(channel, Duration::from_millis(5)).await.unwrap_err();
    assert_eq!(failure.class, Class::Deadline);
}

#[tokio::test]
async fn only_calls_in_a_row_open_it() {
    let answers = Arc::new(AtomicBool::new(false));
    let (_server, channel) = silent(&answers, Duration::from_secs(3600)).await;
    for answered in [false, false, true, false, false] {
        answers.store(answered, Ordering::SeqCst);
        if answered {
            asked(&channel).await
        } else {
            unanswered(&channel).await
        }
        assert_eq!(channel.status().breaker, BreakerState::Closed);
    }
    unanswered(&channel).await;
    assert_eq!(channel.status().breaker, BreakerState::Open);
}

#[tokio::test]
async fn a_call_that_tries_and_whose_caller_goes_away_leaves_it_to_the_next_one() {
    let answers = Arc::new(AtomicBool::new(false));
    let (server, channel) = silent(&answers, Duration::from_millis(20)).await;
    for _ in 0..3 {
        unanswered(&channel).await;
    }
    while channel.status().breaker == BreakerState::Open {
        tokio::task::yield_now().await;
    }
    let calls = server.calls();
    tokio::select! {
        _ = ask(&channel) => panic!("it hangs"),
        () = async { while server.calls() == calls { tokio::task::yield_now().await } } => {}
    }
    answers.store(true, Ordering::SeqCst);
    asked(&channel).await;
    assert_eq!(channel.status().breaker, BreakerState::Closed);
}

#[tokio::test]
async fn calls_from_before_it_opened_can_close_it_and_do_not_keep_it_open() {
    let answer = Arc::new(Notify::new());
    let (answers, count) = (answer.clone(), AtomicUsize::new(0));
    let server = Server::at(ANY, move |call| {
        if count.fetch_add(1, Ordering::SeqCst) > 0 {
            return hang(call);
        }
        let answers = answers.clone();
        Box::pin(async move {
            answers.notified().await;
            allowed()
        })
    })
    .await;
    let channel = breaking(server.address, Duration::from_millis(20));
    let good = asking(&channel);
    while server.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let other = channel.clone();
    let bad = tokio::spawn(async move { ask_within(&other, Duration::from_millis(300)).await });
    while channel.status().breaker == BreakerState::Closed {
        ask_within(&channel, Duration::from_millis(5)).await.expect_err("it hangs");
    }
    while channel.status().breaker == BreakerState::Open {
        tokio::task::yield_now().await;
    }
    let _probe = asking(&channel);
    bad.await.unwrap().expect_err("it hangs");
    assert_eq!(channel.status().breaker, BreakerState::HalfOpen);
    answer.notify_one();
    good.await.unwrap().expect("an answer");
    assert_eq!(channel.status().breaker, BreakerState::Closed);
}

#[tokio::test]
async fn a_connection_closes_it_where_connections_were_missing_and_only_there() {
    let address = nobody().await;
    let channel = breaking(address, Duration::from_secs(3600));
    for _ in 0..3 {
        failed(&channel, Class::Unavailable).await;
    }
    assert_eq!(channel.status().breaker, BreakerState::Open);
    let server = Server::at(address, hang).await;
    until(&channel, |status| ready(status) == 1).await;
    assert_eq!(channel.status().breaker, BreakerState::Closed);
    for _ in 0..3 {
        unanswered(&channel).await;
    }
    server.goaway();
    until(&channel, |status| server.connections() == 2 && ready(status) == 1).await;
    assert_eq!(channel.status().breaker, BreakerState::Open);
    assert!(failed(&channel, Class::Unavailable).await.contains("the breaker is open"));
}

#[tokio::test]
async fn a_slow_rpc_opens_none_for_the_others_and_their_calls_are_no_probe_of_it() {
    let slow = |call: Call| if call.uri().path().ends_with("AddBlack") { hang(call) } else { allow(call) };
    let server = Server::at(ANY, slow).await;
    let channel = breaking(server.address, Duration::from_millis(50));
    until(&channel, |status| ready(status) == 1).await;
    let brief = Duration::from_millis(5);
    for _ in 0..10 {
        while channel.status().breaker != BreakerState::Open {
            ask_within(&channel, brief).await.expect_err("it is slow");
        }
        for _ in 0..10 {
            ask_of(&channel, "callbackBeforeAddFriendCommand", Duration::from_secs(60)).await.expect("an answer");
        }
        let breakers: Vec<_> = channel.status().breakers.into_keys().collect();
        assert_eq!(breakers, ["BeforeAddBlack"]);
    }
}

#[tokio::test]
async fn a_connection_that_dies_under_many_calls_says_nothing_of_the_next_one() {
    let server = Server::at(ANY, hang).await;
    let address = server.address;
    // Were it to open, it would stay so for the whole test.
    let channel = breaking(address, Duration::from_secs(3600));
    until(&channel, |status| ready(status) == 1).await;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { ask(&channel).await })
        })
        .collect();
    while server.calls() < 10 {
        tokio::task::yield_now().await;
    }
    server.kill().await;
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().class, Class::Unavailable);
    }
    let _server = Server::at(address, allow).await;
    until(&channel, |status| ready(status) == 1).await;
    asked(&channel).await;
}

#[tokio::test]
async fn statuses_are_answers() {
    let policy = Server::at(ANY, |_| {
        Box::pin(async {
            let response = http::Response::builder().header("content-type", "application/grpc");
            response.header("grpc-status", "14").body(http_body_util::Empty::new().boxed()).unwrap()
        })
    })
    .await;
    let channel = breaking(policy.address, Duration::from_secs(3600));
    for _ in 0..10 {
        failed(&channel, Class::Unavailable).await;
    }
    assert_eq!((policy.calls(), channel.status().breaker), (10, BreakerState::Closed));
}

#[tokio::test]
async fn a_policy_that_was_not_there_is_asked_as_soon_as_it_is() {
    let address = nobody().await;
    let channel = breaking(address, Duration::from_secs(3600));
    for _ in 0..3 {
        let cause = failed(&channel, Class::Unavailable).await;
        assert!(cause.contains("not connected"), "{cause}");
    }
    assert_eq!(channel.status().breaker, BreakerState::Open);
    let _server = Server::at(address, allow).await;
    asked(&channel).await;
    assert_eq!(channel.status().breaker, BreakerState::Closed);
}

#[tokio::test]
async fn callers_that_go_away_are_no_failures() {
    let server = Server::at(ANY, hang).await;
    let channel = breaking(server.address, Duration::from_secs(3600));
    for calls in 1..=10 {
        tokio::select! {
            _ = ask_within(&channel, Duration::from_secs(60)) => panic!("it hangs"),
            () = async { while server.calls() < calls { tokio::task::yield_now().await } } => {}
        }
    }
    assert_eq!(channel.status().breaker, BreakerState::Closed);
}
