//! A policy that says GOAWAY and goes on to listen: a rolling restart, an age limit of connections. No call is lost.

use std::sync::Arc;

use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::server::{ANY, Server, allowed, ask, asked, connect, ready, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_steady_calls_none_fails_and_none_is_seen_twice() {
    let server = Server::allow().await;
    let channel = connect(server.address);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (channel, stopped) = (channel.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !*stopped.borrow() {
                    asked(&channel).await;
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for _ in 0..30 {
        let calls = server.calls();
        while server.calls() < calls + 20 {
            tokio::task::yield_now().await;
        }
        let connections = server.connections();
        server.goaway();
        while server.connections() == connections {
            tokio::task::yield_now().await;
        }
    }
    stop.send_replace(true);
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.expect("no call failed");
    }
    assert_eq!(server.calls(), calls);
    assert!(server.connections() >= 30);
}

#[tokio::test]
async fn an_idle_connection_is_replaced_at_once() {
    let server = Server::allow().await;
    let channel = connect(server.address);
    asked(&channel).await;
    server.goaway();
    until(&channel, |status| server.connections() == 2 && ready(status) == 1).await;
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn a_new_connection_is_made_while_calls_end_on_the_old_one() {
    let released = Arc::new(Semaphore::new(0));
    let release = released.clone();
    let server = Server::at(ANY, move |_| {
        let released = released.clone();
        Box::pin(async move {
            released.acquire().await.unwrap().forget();
            allowed()
        })
    })
    .await;
    let channel = connect(server.address);
    let mut call = std::pin::pin!(ask(&channel));
    let replaced = async {
        while server.calls() == 0 {
            tokio::task::yield_now().await;
        }
        server.goaway();
        until(&channel, |status| server.connections() == 2 && ready(status) == 1).await;
    };
    tokio::select! {
        _ = &mut call => panic!("nobody has answered"),
        () = replaced => {}
    }
    release.add_permits(1);
    call.await.expect("an answer over the old connection");
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn what_is_in_flight_ends_well_and_what_waits_for_a_stream_goes_elsewhere() {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let mut one_at_a_time = http2::Builder::new(TokioExecutor::new());
    one_at_a_time.max_concurrent_streams(1);
    let released = Arc::new(Semaphore::new(0));
    let release = released.clone();
    let server = Server::on(listener, one_at_a_time, move |_| {
        let released = released.clone();
        Box::pin(async move {
            released.acquire().await.unwrap().forget();
            allowed()
        })
    });
    let channel = connect(server.address);
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { ask(&channel).await })
        })
        .collect();
    until(&channel, |status| ready(status) == 1).await;
    while server.calls() == 0 || channel.status().addresses[0].in_flight < 5 {
        tokio::task::yield_now().await;
    }
    server.goaway();
    while server.calls() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.connections(), 2);
    release.add_permits(5);
    for call in calls {
        call.await.unwrap().expect("an answer");
    }
    assert_eq!(server.calls(), 5);
}
