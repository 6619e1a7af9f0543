//! A call that could not be sent in its time is not sent at all; one that waited says what it has left.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hookgate::config::Class;
use hookgate::contract::Callback;
use hookgate::contract::Metadata;
use hookgate::internals::policy::{CallError, Channel, Policy, PolicyCall, Transport};
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::server::{Server, allowed, ask, ask_until, ask_within, asking, connect};

/// A host that no other test uses: on 127.0.0.1 a channel of another test may still dial a port that was free a moment ago, and
/// its call would be taken for one of these.
const HOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)), 0);

/// A policy that takes one call at a time, says what timeout it was told, and answers when it is let.
async fn one_at_a_time() -> (Server, mpsc::UnboundedReceiver<String>, watch::Sender<bool>) {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.max_concurrent_streams(1);
    let (asked, was_asked) = mpsc::unbounded_channel();
    let (let_go, released) = watch::channel(false);
    let server = Server::on(TcpListener::bind(HOST).await.unwrap(), http, move |call| {
        asked.send(call.headers()["grpc-timeout"].to_str().unwrap().to_owned()).unwrap();
        let mut released = released.clone();
        Box::pin(async move {
            released.wait_for(|released| *released).await.unwrap();
            allowed()
        })
    });
    (server, was_asked, let_go)
}

/// A `grpc-timeout` of some seconds.
fn milliseconds(timeout: &str) -> u64 {
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    let digits: u64 = digits.parse().unwrap();
    match unit {
        "u" => digits / 1_000,
        "m" => digits,
        "S" => digits * 1_000,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn times_are_told_in_the_digits_that_grpc_has() {
    let (server, mut was_asked, let_go) = one_at_a_time().await;
    let_go.send(true).unwrap();
    let channel = connect(server.address);
    for days in [1, 2, 365] {
        ask_within(&channel, Duration::from_secs(days * 24 * 3600)).await.expect("an answer");
        let told = was_asked.recv().await.unwrap();
        assert!(told.len() <= 9, "eight digits and a unit, not {told}");
    }
    // Unless this machine is so busy that the call is not sent in its time.
    drop(ask_within(&channel, Duration::from_millis(90)).await);
    if let Ok(told) = was_asked.try_recv() {
        let micros: u32 = told.strip_suffix('u').unwrap().parse().unwrap();
        assert!(micros <= 90_000, "{told}");
    }
}

#[tokio::test]
async fn late_before_it_was_sent_it_never_is() {
    let (server, mut was_asked, let_go) = one_at_a_time().await;
    let channel = connect(server.address);
    let first = asking(&channel);
    was_asked.recv().await.unwrap();
    for _ in 0..5 {
        let failure = ask_within(&channel, Duration::from_millis(20)).await.expect_err("no stream is free");
        assert_eq!(failure.class, Class::Deadline);
    }
    let_go.send(true).unwrap();
    first.await.unwrap().expect("an answer");
    ask(&channel).await.expect("an answer");
    // The first and the last, and the one that h2 had taken before it knew that no stream was free.
    assert_eq!(server.calls(), 3);
}

#[tokio::test]
async fn one_that_waited_tells_the_policy_what_is_left() {
    let (server, mut was_asked, let_go) = one_at_a_time().await;
    let channel = connect(server.address);
    let first = asking(&channel);
    was_asked.recv().await.unwrap();
    // h2 takes one of them before it knows that no stream is free; the other one waits for it.
    let deadline = Instant::now() + Duration::from_secs(60);
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { ask_until(&channel, deadline).await })
        })
        .collect();
    // A call takes that long to be late.
    ask_within(&channel, Duration::from_millis(50)).await.expect_err("no stream is free");
    let left = deadline - Instant::now();
    let_go.send(true).unwrap();
    first.await.unwrap().expect("an answer");
    for call in calls {
        call.await.unwrap().expect("an answer");
    }
    was_asked.recv().await.unwrap();
    let told = milliseconds(&was_asked.recv().await.unwrap());
    assert!(0 < told && u128::from(told) <= left.as_millis(), "{told}ms of {left:?}");
}

#[tokio::test]
async fn late_however_long_it_took_to_come_so_far() {
    // Of a busy machine: between the call's beginning and its wait for a stream its time goes by.
    let (server, mut was_asked, let_go) = one_at_a_time().await;
    let channel = connect(server.address);
    let first = asking(&channel);
    was_asked.recv().await.unwrap();
    // The one that h2 takes before it knows that no stream is free.
    ask_within(&channel, Duration::from_millis(1)).await.expect_err("no stream is free");
    let callback = Callback::by_command("callbackBeforeAddBlackCommand").unwrap();
    let policy = Policy::new(Slow(channel.clone()), 1 << 20);
    for _ in 0..5 {
        let deadline = Instant::now() + Duration::from_millis(20);
        let (message, metadata) = (Bytes::new(), Metadata::default());
        let failure = policy
            .ask(PolicyCall { callback, message, metadata, attempt: 1, sequence: None, late: false, deadline })
            .await
            .expect_err("late");
        assert_eq!(failure.class, Class::Deadline);
    }
    let_go.send(true).unwrap();
    first.await.unwrap().expect("an answer");
    ask(&channel).await.expect("an answer");
    assert_eq!(server.calls(), 3, "none of those that were late");
}

/// A channel that takes its time with each call, in which nothing else goes on.
struct Slow(Channel);

impl Transport for Slow {
    async fn unary(&self, call: http::Request<Bytes>, deadline: Instant, limit: usize) -> Result<Bytes, CallError> {
        #[allow(clippy::disallowed_methods, reason = "that nothing else goes on is what is tested")]
        std::thread::sleep(Duration::from_millis(30));
        self.0.unary(call, deadline, limit).await
    }
}
