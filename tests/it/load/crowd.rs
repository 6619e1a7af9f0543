//! Clients that are many, or slow, beside one that is neither.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::Size;
use super::client::{Load, Poster, assert_well_formed, figures, is_well_formed};
use crate::support::program::{Running, configured};
use crate::support::restartable::{Act, Policy, anywhere};

const COMMAND: &str = "callbackBeforeAddBlackCommand";

/// A byte of a body now and then, and no end.
async fn sends_slowly(gate: std::net::SocketAddr) {
    let mut stream = TcpStream::connect(gate).await.unwrap();
    let head = format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut now_and_then = interval(Duration::from_millis(10));
    // Until hookgate has had enough.
    while stream.write_all(b" ").await.is_ok() {
        now_and_then.tick().await;
    }
}

/// Request after request, and no reply is read. Ends when hookgate no longer reads either.
async fn never_reads(gate: std::net::SocketAddr) {
    let mut stream = TcpStream::connect(gate).await.unwrap();
    let request = format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{}}").repeat(100);
    while stream.write_all(request.as_bytes()).await.is_ok() {}
}

async fn crowd(size: Size, idle: usize, slow: usize, rate: u32, replies: usize) {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        panic!("this many connections are as many files: {error}");
    }
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::Allow)).await;
    let gate = Running::of(configured(&policy.url(), &format!("crowd-{size:?}"), "log: error")).await;
    let alone = Load::at_rate(Poster::new(gate.webhooks), rate, COMMAND);
    alone.allowed(replies).await;
    let alone = alone.end().await;

    let mut connections = Vec::new();
    for _ in 0..idle {
        connections.push(TcpStream::connect(gate.webhooks).await.unwrap());
    }
    let all = async { while gate.status().await["connections"].as_u64() < Some(idle as u64) {} };
    timeout(Duration::from_secs(60), all).await.expect("hookgate accepts them all");
    let among_idle = Load::at_rate(Poster::new(gate.webhooks), rate, COMMAND);
    among_idle.allowed(replies).await;
    let among_idle = among_idle.end().await;

    let mut slow_ones = JoinSet::new();
    for _ in 0..slow {
        slow_ones.spawn(sends_slowly(gate.webhooks));
        slow_ones.spawn(never_reads(gate.webhooks));
    }
    let among_slow = Load::at_rate(Poster::new(gate.webhooks), rate, COMMAND);
    among_slow.allowed(replies).await;
    let among_slow = among_slow.end().await;
    slow_ones.shutdown().await;

    for shots in [&alone, &among_idle, &among_slow] {
        assert_well_formed(shots);
        assert!(shots.iter().all(|shot| shot.allowed()));
    }
    size.say(format_args!("{rate} requests a second"));
    size.say(format_args!("  alone: {}", figures(&alone)));
    size.say(format_args!("  beside {idle} idle connections: {}", figures(&among_idle)));
    size.say(format_args!("  and {slow} slow bodies, {slow} slow readers: {}", figures(&among_slow)));
    // Those that were idle have been kept.
    for stream in &mut connections {
        let request =
            format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(is_well_formed(body.as_bytes(), "allow"), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_slow_bodies_and_slow_readers_harm_nobody_else() {
    crowd(Size::Small, 300, 3, 100, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run by: cargo test --release --test it load:: -- --ignored --nocapture"]
async fn full_crowd() {
    crowd(Size::Full, 10_000, 10, 500, 5_000).await;
}
