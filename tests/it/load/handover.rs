//! hookgate is restarted, and its listening sockets outlive it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use super::Size;
use super::client::{Load, Poster, assert_well_formed, figures};
use crate::support::activated::activated;
use crate::support::program::{Running, hookgate};
use crate::support::restartable::{Act, Policy, anywhere};
use crate::support::{file, free};

/// Restarts hookgate so many times under webhooks of so many clients at a time, each time after so many webhooks. They keep
/// two idle connections between them, as OpenIM does, and make a new one for each webhook that finds none.
async fn restarted(size: Size, workers: usize, times: usize, webhooks: usize, drain: &str) {
    let name = format!("handover-{size:?}");
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::AllowAfter(Duration::from_millis(5)))).await;
    let sockets = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let sockets = sockets.map(|socket| socket.into_std().unwrap());
    let addresses = [0, 1].map(|place| sockets[place].local_addr().unwrap().to_string());
    let sockets = sockets.map(OwnedFd::from);
    let (file, data) = (file(&format!("{name}.yaml"), format!("log: warn\ndrain: {drain}")), free(&name));
    let _ = std::fs::remove_dir_all(&data);
    let places = ["--listen", &addresses[0], "--admin-listen", &addresses[1], "--policy", &policy.url()];
    let command = hookgate(&[&places[..], &["--config", &file, "--data", data.to_str().unwrap()]].concat());
    let start = async || Running::of(activated(&command, &[&sockets[0], &sockets[1]])).await;

    let mut gate = start().await;
    let load = Load::by_workers(Poster::with_two_idle(gate.webhooks), workers, "callbackBeforeAddBlackCommand");
    let mut starts = Vec::new();
    for _ in 0..times {
        load.allowed(webhooks).await;
        gate.signal("-TERM").await;
        let (code, said) = gate.end().await;
        assert_eq!(code, Some(0), "{said}");
        let ended = Instant::now();
        gate = start().await;
        starts.push(ended.elapsed());
    }
    load.allowed(webhooks).await;
    let shots = load.end().await;
    assert_well_formed(&shots);
    let failed: Vec<_> = shots.iter().filter(|shot| !shot.allowed()).collect();
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed[0]);
    // The last one has served since its start only.
    let connections = gate.status().await["connections"].as_u64();
    assert!(connections <= Some(3), "idle ones: {connections:?}");
    size.say(format_args!("hookgate restarted {times} times under {workers} clients, with --data: 0 failed"));
    size.say(format_args!("  {}", figures(&shots)));
    size.say(format_args!("  from the end of one process to the next one's first line: {starts:.0?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_restarts_fail_no_webhook() {
    restarted(Size::Small, 4, 2, 100, "{delay: 300ms}").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes four minutes; run by: cargo test --release --test it load:: -- --ignored --nocapture"]
async fn full_restarts() {
    restarted(Size::Full, 32, 20, 5_000, "{delay: 2s}").await;
}
