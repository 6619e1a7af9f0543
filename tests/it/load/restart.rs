//! The policy is killed and comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::Size;
use super::client::{Load, Poster, Shot, assert_well_formed, figures};
use crate::support::program::{Running, configured, hookgate};
use crate::support::restartable::{Act, Policy, anywhere};

/// The policy was away.
struct Down {
    /// Just before it was killed.
    killed: Instant,
    dead: Instant,
    /// Somebody connected to it again.
    back: Instant,
}

impl Down {
    /// The first call that began after its death and was answered.
    fn first_success<'a>(&self, shots: &'a [Shot]) -> &'a Shot {
        let answered = shots.iter().filter(|shot| shot.allowed() && shot.began > self.dead);
        answered.min_by_key(|shot| shot.ended).expect("it answers again")
    }
}

/// A policy in a process of its own: the built-in one.
async fn start(address: SocketAddr) -> (Running, SocketAddr) {
    let address = address.to_string();
    let places = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--builtin-listen", &address];
    let policy = Running::of(hookgate(&[&places[..], &["--log", "error"]].concat())).await;
    let address = policy.policy.trim_start_matches("http://").parse().unwrap();
    (policy, address)
}

async fn accepts(address: SocketAddr) -> Instant {
    let mut often = interval(Duration::from_millis(1));
    while TcpStream::connect(address).await.is_err() {
        often.tick().await;
    }
    Instant::now()
}

/// Kills the policy so many times under a steady load, each time for so many failed calls.
async fn killed_and_restarted(size: Size, name: &str, rate: u32, times: usize, failed: usize) {
    let (mut policy, address) = start(anywhere()).await;
    let gate = Running::of(configured(&policy.policy, name, "log: error")).await;
    let load = Load::at_rate(Poster::new(gate.webhooks), rate, "callbackBeforeAddBlackCommand");
    let mut downs = Vec::new();
    for _ in 0..times {
        load.allowed(failed).await;
        let killed = Instant::now();
        policy.kill().await;
        let dead = Instant::now();
        load.failed(failed).await;
        let back = tokio::spawn(accepts(address));
        (policy, _) = start(address).await;
        downs.push(Down { killed, dead, back: back.await.unwrap() });
        load.allowed(failed).await;
    }
    let shots = load.end().await;

    assert_well_formed(&shots);
    for shot in shots.iter().filter(|shot| !shot.allowed()) {
        assert!(shot.is("failed-closed:unavailable"), "{shot:?}");
        let excused = downs.iter().any(|down| shot.ended >= down.killed && shot.began <= down.back);
        assert!(excused, "the policy was there all the time: {shot:?}");
    }
    let (allowed, failed): (Vec<_>, Vec<_>) = shots.iter().partition(|shot| shot.allowed());
    assert!(failed.len() >= times, "it was away");
    size.say(format_args!("policy killed {times} times under {rate} requests a second"));
    size.say(format_args!("  sent {}, well-formed replies {}", shots.len(), shots.len()));
    size.say(format_args!("  answered by the policy: {}", figures(allowed)));
    size.say(format_args!("  failed, all while it was away: {}", figures(failed)));
    for down in &downs {
        let again = down.first_success(&shots).ended.saturating_duration_since(down.back);
        size.say(format_args!("  away for {:.0?}, first success {again:.1?} after it is back", down.back - down.dead));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_is_killed_and_comes_back_fails_only_the_calls_of_that_time() {
    killed_and_restarted(Size::Small, "restart", 200, 1, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_dies_under_many_calls_fails_no_call_after_them() {
    let asked = Arc::new(Semaphore::new(0));
    let count = asked.clone();
    let policy = Policy::start(
        anywhere(),
        Arc::new(move |headers| {
            count.add_permits(1);
            if headers["openim-operation-id"] == "hang" { Act::Hang } else { Act::Allow }
        }),
    )
    .await;
    let gate = Running::of(configured(&policy.url(), "cut", "log: error")).await;
    let poster = Poster::new(gate.webhooks);
    let before = poster.post("callbackBeforeAddBlackCommand", "op-7").await;
    // More than the failures that open the breaker.
    let mut hanging = JoinSet::new();
    for _ in 0..50 {
        let poster = poster.clone();
        hanging.spawn(async move { poster.post("callbackBeforeAddBlackCommand", "hang").await });
    }
    asked.acquire_many(51).await.unwrap().forget();
    policy.cut();
    let cut_off = hanging.join_all().await;
    assert!(cut_off.iter().all(|shot| shot.is("failed-closed:unavailable")), "{cut_off:?}");
    let after = poster.post("callbackBeforeAddBlackCommand", "op-7").await;
    assert!(before.allowed() && after.allowed(), "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run by: cargo test --release --test it load:: -- --ignored --nocapture"]
async fn full_killed_and_restarted() {
    killed_and_restarted(Size::Full, "restart-full", 500, 10, 500).await;
}
