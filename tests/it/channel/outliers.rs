//! One address of several that fails its calls fast.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use hookgate::internals::policy::Channel;
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::server::{Answering, Server, allow, allowed, ask, asked, connect_by_name, ready, status, until};

/// A host that no other test uses: on 127.0.0.1 somebody else may still dial a port that was free a moment ago, and a health
/// check of theirs would be counted.
const HOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 8)), 0);

async fn both(servers: [&Server; 2]) -> Channel {
    let (channel, _name) = connect_by_name(&servers.map(|server| server.address));
    until(&channel, |status| ready(status) == 2).await;
    channel
}

/// The most calls that an address may have failed since then: five, and one for each second after that.
fn bound(began: Instant) -> usize {
    5 + usize::try_from(began.elapsed().as_secs()).unwrap()
}

#[tokio::test]
async fn it_gets_few_calls() {
    for (code, http_status) in [("14", 200), ("13", 200), ("2", 200), ("8", 200), ("15", 200), ("0", 429), ("0", 502)] {
        let answer = move |_| -> Answering {
            Box::pin(async move {
                let mut response = status(code).await;
                *response.status_mut() = http::StatusCode::from_u16(http_status).unwrap();
                response
            })
        };
        let (bad, good) = (Server::at(HOST, answer).await, Server::at(HOST, allow).await);
        let channel = both([&bad, &good]).await;
        let began = Instant::now();
        // At the end it may be over again, on a busy machine.
        let mut most_ejected = 0;
        for _ in 0..200 {
            drop(ask(&channel).await);
            let ejected = channel.status().addresses.into_iter().filter(|address| address.state.contains("ejected"));
            most_ejected = most_ejected.max(ejected.count());
        }
        assert!((5..=bound(began)).contains(&bad.calls()), "{code}, {http_status}: {} of 200", bad.calls());
        assert_eq!(most_ejected, 1, "{code}, {http_status}");
    }
}

#[tokio::test]
async fn it_attracts_none_while_the_other_has_many_in_flight() {
    let bad = Server::at(HOST, |_| status("14")).await;
    let (release, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let waits = release.clone();
    let listener = TcpListener::bind(HOST).await.unwrap();
    let good = Server::on(listener, http2::Builder::new(TokioExecutor::new()), move |_| {
        let waits = waits.clone();
        Box::pin(async move {
            waits.acquire().await.unwrap().forget();
            allowed()
        })
    });
    let channel = both([&bad, &good]).await;
    let began = Instant::now();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (channel, released) = (channel.clone(), released.clone());
            tokio::spawn(async move {
                let answer = ask(&channel).await;
                released.add_permits(1);
                answer.is_ok()
            })
        })
        .collect();
    while good.calls() + bad.calls() < 100 {
        tokio::task::yield_now().await;
    }
    // All were asked at once: those that the bad one had before its fifth answer came are more than five.
    let before = bad.calls();
    for _ in 0..before {
        released.acquire().await.unwrap().forget();
    }
    for _ in 0..50 {
        let channel = channel.clone();
        tokio::spawn(async move { ask(&channel).await });
    }
    while good.calls() + bad.calls() < 150 {
        tokio::task::yield_now().await;
    }
    assert!(bad.calls() <= before + bound(began), "{} after {before}", bad.calls());
    release.add_permits(150);
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn where_all_fail_all_are_asked() {
    let (first, second) = (Server::at(HOST, |_| status("14")).await, Server::at(HOST, |_| status("14")).await);
    let channel = both([&first, &second]).await;
    for _ in 0..100 {
        ask(&channel).await.expect_err("unavailable");
    }
    assert_eq!(first.calls() + second.calls(), 100);
    assert!(first.calls().abs_diff(second.calls()) <= 1, "{} and {}", first.calls(), second.calls());
}

#[tokio::test]
async fn it_comes_back() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let bad =
        Server::at(HOST, move |call| if is_well.load(Ordering::SeqCst) { allow(call) } else { status("13") }).await;
    let good = Server::at(HOST, allow).await;
    let channel = both([&bad, &good]).await;
    while bad.calls() < 5 {
        drop(ask(&channel).await);
    }
    well.store(true, Ordering::SeqCst);
    let failed = bad.calls();
    // One that does not fail, and it has its share again.
    while bad.calls() < failed + 50 {
        asked(&channel).await;
    }
}

#[tokio::test]
async fn what_the_policy_means_to_say_ejects_nothing() {
    for code in ["7", "12", "5", "1", "4"] {
        let (first, second) = (Server::at(HOST, move |_| status(code)).await, Server::at(HOST, allow).await);
        let channel = both([&first, &second]).await;
        for _ in 0..40 {
            drop(ask(&channel).await);
        }
        assert_eq!((first.calls(), second.calls()), (20, 20), "{code}");
    }
}

#[tokio::test]
async fn failures_that_are_not_in_a_row_eject_nothing() {
    let count = AtomicUsize::new(0);
    let often = move |call| if count.fetch_add(1, Ordering::SeqCst) % 5 < 4 { status("13") } else { allow(call) };
    let (first, second) = (Server::at(HOST, often).await, Server::at(HOST, allow).await);
    let channel = both([&first, &second]).await;
    for _ in 0..40 {
        drop(ask(&channel).await);
    }
    assert_eq!((first.calls(), second.calls()), (20, 20));
}
