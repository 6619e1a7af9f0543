//! Several addresses behind one name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hookgate::config::{self, Address, Class};
use hookgate::internals::policy::{Channel, Resolve};
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{Notify, watch};
use tokio_rustls::rustls::RootCertStore;

use super::server::{
    ANY, Server, allow, allowed, ask, asked, connect_by_name, connect_by_name_with, failed, listen, ready, serve,
    settings, until,
};
use crate::support::nobody;

async fn two() -> [Server; 2] {
    let other = "127.0.0.2:0".parse().unwrap();
    [Server::allow().await, Server::at(other, allow).await]
}

#[tokio::test]
async fn calls_take_turns() {
    let servers = two().await;
    let (channel, _name) = connect_by_name(&servers.each_ref().map(|server| server.address));
    until(&channel, |status| ready(status) == 2).await;
    for _ in 0..100 {
        asked(&channel).await;
    }
    assert_eq!(servers.each_ref().map(Server::calls), [50, 50]);
}

#[tokio::test]
async fn a_slow_address_gets_fewer() {
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let slow = Server::at(ANY, move |_| {
        let released = released.clone();
        Box::pin(async move {
            released.notified().await;
            allowed()
        })
    })
    .await;
    let fast = Server::allow().await;
    let (channel, _name) = connect_by_name(&[slow.address, fast.address]);
    until(&channel, |status| ready(status) == 2).await;
    // Until one has found the slow address.
    while slow.calls() == 0 {
        let other = channel.clone();
        let call = tokio::spawn(async move { ask(&other).await });
        while slow.calls() == 0 && !call.is_finished() {
            tokio::task::yield_now().await;
        }
    }
    let before = fast.calls();
    for _ in 0..20 {
        asked(&channel).await;
    }
    assert_eq!((slow.calls(), fast.calls()), (1, before + 20));
    release.notify_one();
}

#[tokio::test]
async fn a_dead_address_fails_no_call() {
    let server = Server::allow().await;
    let (channel, _name) = connect_by_name(&[nobody().await, server.address]);
    for _ in 0..50 {
        asked(&channel).await;
    }
    assert_eq!(server.calls(), 50);
}

#[tokio::test]
async fn one_of_two_that_dies_takes_no_call_with_it_but_those_in_flight() {
    let [first, second] = two().await;
    let (channel, _name) = connect_by_name(&[first.address, second.address]);
    until(&channel, |status| ready(status) == 2).await;
    first.kill().await;
    until(&channel, |status| ready(status) == 1).await;
    for _ in 0..50 {
        asked(&channel).await;
    }
    assert_eq!(second.calls(), 50);
}

/// A listener that hangs up until it is well, the number of connections it has had, and the switch.
async fn hangs_up() -> (SocketAddr, watch::Receiver<usize>, Arc<AtomicBool>) {
    let (count, connections) = watch::channel(0);
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let address = listen(move |number, stream| {
        count.send_replace(number + 1);
        let is_well = is_well.clone();
        async move {
            if is_well.load(Ordering::SeqCst) {
                let (_goaway, never) = watch::channel(());
                serve(http2::Builder::new(TokioExecutor::new()), stream, Arc::new(allow), never).await;
            }
        }
    });
    (address.await, connections, well)
}

#[tokio::test]
async fn after_an_outage_of_all_the_first_that_is_back_does_not_keep_the_others_away() {
    let (first, mut of_first, well) = hangs_up().await;
    let (second, mut of_second, _) = hangs_up().await;
    let settings = config::Channel { reconnect_max: Duration::from_millis(10), ..settings() };
    let (channel, _name) = connect_by_name_with(&[first, second], &settings);
    for connections in [&mut of_first, &mut of_second] {
        connections.wait_for(|connections| *connections >= 12).await.unwrap();
    }
    well.store(true, Ordering::SeqCst);
    until(&channel, |status| ready(status) == 1).await;
    let (back, before) = (Instant::now(), *of_second.borrow());
    of_second.wait_for(|connections| *connections >= before + 2).await.unwrap();
    // Some 50 ms; while another one carries the calls, the pause after many failures is 2.5 seconds or more.
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
}

#[tokio::test]
async fn when_a_connection_is_lost_the_name_is_looked_up_again_and_calls_wait_for_where_it_leads() {
    let [first, second] = two().await;
    let (channel, name) = connect_by_name(&[first.address]);
    asked(&channel).await;
    name.send_replace(vec![second.address]);
    let gone = Address::Tcp(first.address);
    first.kill().await;
    until(&channel, |status| !status.addresses.iter().any(|member| member.address == gone && member.state == "ready"))
        .await;
    for _ in 0..10 {
        asked(&channel).await;
    }
    until(&channel, |status| status.addresses.iter().all(|member| member.address != gone)).await;
    assert_eq!(second.calls(), 10);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_looked_up_again_until_it_does() {
    let server = Server::allow().await;
    let (known, lookup) = tokio::sync::watch::channel(None);
    let resolve: Resolve = Arc::new(move || {
        let found = *lookup.borrow();
        Box::pin(async move {
            found.map(|address| vec![Address::Tcp(address)]).ok_or_else(|| std::io::Error::other("NXDOMAIN"))
        })
    });
    let url = "http://policy.test".parse().unwrap();
    let channel = Channel::connect_with(url, &settings(), resolve, RootCertStore::empty());
    let cause = failed(&channel, Class::Unavailable).await;
    assert_eq!(cause, "not connected: the name cannot be looked up: NXDOMAIN");
    assert_eq!(channel.status().name.as_deref(), Some("the name cannot be looked up: NXDOMAIN"));
    known.send_replace(Some(server.address));
    until(&channel, |status| ready(status) == 1).await;
    asked(&channel).await;
    assert_eq!(channel.status().name, None);
}
