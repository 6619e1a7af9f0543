//! The policy's name comes to lead elsewhere while its connections stand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookgate::config::{self, Address};
use hookgate::internals::Failure;
use hookgate::internals::policy::{AddressStatus, Resolve};
use hookgate::internals::policy::{Answer, Channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::RootCertStore;

use super::server::{ANY, Server, allow, allowed, asked, asking, connect_by_name_with, ready, settings, until};
use crate::support::nobody;

/// Looks names up so often that no test waits for it, or never.
fn looked_up(resolve_interval: Duration) -> config::Channel {
    config::Channel { resolve_interval, ..settings() }
}

const OFTEN: Duration = Duration::from_millis(1);

async fn other() -> Server {
    Server::at("127.0.0.2:0".parse().unwrap(), allow).await
}

fn of<'s>(addresses: &'s [AddressStatus], server: &Server) -> Option<&'s AddressStatus> {
    addresses.iter().find(|status| status.address == Address::Tcp(server.address))
}

/// An address to which its name no longer resolves, with a call in flight, and the one to which it resolves now.
struct Draining {
    channel: Channel,
    name: watch::Sender<Vec<SocketAddr>>,
    first: Server,
    second: Server,
    call: JoinHandle<Result<Answer, Failure>>,
    /// Answers as many calls of the first as it has permits.
    release: Arc<Semaphore>,
}

async fn draining() -> Draining {
    let release = Arc::new(Semaphore::new(0));
    let released = release.clone();
    let first = Server::at(ANY, move |_| {
        let released = released.clone();
        Box::pin(async move {
            released.acquire().await.unwrap().forget();
            allowed()
        })
    })
    .await;
    let second = other().await;
    let (channel, name) = connect_by_name_with(&[first.address], &looked_up(OFTEN));
    let call = asking(&channel);
    while first.calls() == 0 {
        tokio::task::yield_now().await;
    }
    name.send_replace(vec![second.address]);
    until(&channel, |status| of(&status.addresses, &first).is_some_and(|first| first.state == "draining")).await;
    Draining { channel, name, first, second, call, release }
}

#[tokio::test]
async fn a_new_address_gets_its_share() {
    let (first, second) = (Server::allow().await, other().await);
    let (channel, name) = connect_by_name_with(&[first.address], &looked_up(OFTEN));
    asked(&channel).await;
    name.send_replace(vec![first.address, second.address]);
    until(&channel, |status| ready(status) == 2).await;
    for _ in 0..100 {
        asked(&channel).await;
    }
    assert_eq!((first.calls(), second.calls(), first.connections()), (51, 50, 1));
}

#[tokio::test]
async fn an_address_that_has_left_is_drained() {
    let Draining { channel, first, second, call, release, .. } = draining().await;
    for _ in 0..20 {
        asked(&channel).await;
    }
    assert_eq!((first.calls(), second.calls()), (1, 20));
    assert_eq!(of(&channel.status().addresses, &first).unwrap().in_flight, 1);
    release.add_permits(1);
    call.await.unwrap().expect("the call in flight is answered");
    // It is forgotten when its connection is closed.
    until(&channel, |status| of(&status.addresses, &first).is_none()).await;
}

#[tokio::test]
async fn an_address_that_comes_back_while_it_is_drained_is_connected_anew() {
    let Draining { channel, name, first, second, call, release } = draining().await;
    name.send_replace(vec![first.address, second.address]);
    until(&channel, |status| ready(status) == 2 && first.connections() == 2).await;
    release.add_permits(1);
    call.await.unwrap().expect("the call in flight is answered");
}

#[tokio::test]
async fn an_address_that_has_left_is_called_as_long_as_no_other_can_be() {
    let first = Server::allow().await;
    let (gone, back) = (nobody().await, other().await);
    let (channel, name) = connect_by_name_with(&[first.address], &looked_up(OFTEN));
    asked(&channel).await;
    name.send_replace(vec![gone]);
    until(&channel, |status| status.addresses.iter().any(|address| address.state.contains("refused"))).await;
    for _ in 0..20 {
        asked(&channel).await;
    }
    name.send_replace(vec![back.address]);
    until(&channel, |status| status.addresses.len() == 1 && ready(status) == 1).await;
    asked(&channel).await;
    assert_eq!((first.calls(), back.calls()), (21, 1));
}

#[tokio::test]
async fn a_lookup_that_fails_or_finds_nothing_changes_nothing() {
    let server = Server::allow().await;
    let (found, lookup) = watch::channel(Some(vec![server.address]));
    let resolve: Resolve = Arc::new(move || {
        let found = lookup.borrow().clone();
        let found = found.map(|found| found.into_iter().map(Address::Tcp).collect());
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("SERVFAIL")) })
    });
    let url = "http://policy.test".parse().unwrap();
    let channel = Channel::connect_with(url, &looked_up(OFTEN), resolve, RootCertStore::empty());
    asked(&channel).await;
    for (lookup, why) in [(None, "SERVFAIL"), (Some(Vec::new()), "the name has no address")] {
        found.send_replace(lookup);
        until(&channel, |status| status.name.as_ref().is_some_and(|name| name.contains(why))).await;
        asked(&channel).await;
    }
    assert_eq!((server.calls(), server.connections()), (3, 1));
}

#[tokio::test]
async fn a_drained_connection_that_ends_is_no_reason_to_look_the_name_up() {
    let servers = [Server::allow().await, other().await];
    let lookups = Arc::new(AtomicUsize::new(0));
    let (counted, addresses) = (lookups.clone(), servers.each_ref().map(|server| server.address));
    // One record at a time, as some name servers answer.
    let resolve: Resolve = Arc::new(move || {
        let address = Address::Tcp(addresses[counted.fetch_add(1, Ordering::SeqCst) % 2]);
        Box::pin(async move { Ok(vec![address]) })
    });
    let url = "http://policy.test".parse().unwrap();
    let settings = looked_up(Duration::from_secs(3600));
    let channel = Channel::connect_with(url, &settings, resolve, RootCertStore::empty());
    asked(&channel).await;
    channel.look_up();
    until(&channel, |status| of(&status.addresses, &servers[0]).is_none()).await;
    for _ in 0..100 {
        asked(&channel).await;
    }
    let connections = servers.each_ref().map(Server::connections);
    assert_eq!((lookups.load(Ordering::SeqCst), connections), (2, [1, 1]));
}

#[tokio::test]
async fn never_but_on_request() {
    let (first, second) = (Server::allow().await, other().await);
    let (channel, name) = connect_by_name_with(&[first.address], &looked_up(Duration::ZERO));
    asked(&channel).await;
    name.send_replace(vec![first.address, second.address]);
    for _ in 0..100 {
        asked(&channel).await;
    }
    assert_eq!(second.connections(), 0);
    channel.look_up();
    until(&channel, |status| ready(status) == 2).await;
}
