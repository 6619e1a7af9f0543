//! Thousands of events against a policy that is killed and comes back, and that fails in between.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hookgate::config::{self, Address, After};
use hookgate::internals::outbox::{Delivery, Reason};
use hookgate::internals::policy::{Channel, Resolve};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::RootCertStore;
use tonic::Status;

use super::{LONG, REGISTER, REMOVE_BLACK, at_once, event, events_over, id};
use crate::support::{Call, Policy};

const EVENTS: usize = 5_000;
/// So many at a time.
const BATCH: usize = 100;

/// A policy with a runtime of its own, which takes its connections with it when it goes.
struct Mortal {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Mortal {
    async fn start(answer: impl Fn(&Call) -> Result<Vec<u8>, Status> + Send + Sync + 'static) -> Self {
        let (tell, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let policy = Policy::start(answer).await;
                tell.send(policy.address).unwrap();
                let _ = stopped.await;
            });
        });
        Self { address: address.await.unwrap(), stop, thread }
    }

    fn kill(self) {
        drop(self.stop);
        self.thread.join().unwrap();
    }
}

/// Waits until an attempt to connect has failed.
async fn until_failed(channel: &Channel) {
    loop {
        let changed = channel.changed();
        if channel.status().addresses.iter().any(|address| address.kind == "failed") {
            return;
        }
        changed.await;
    }
}

#[tokio::test]
async fn every_event_is_delivered_though_the_policy_is_down_in_the_middle_and_fails_one_call_in_five() {
    let seen = Arc::new(Mutex::new(HashMap::<String, u32>::new()));
    let calls = Arc::new(AtomicU32::new(0));
    let answer = {
        let (seen, calls) = (seen.clone(), calls.clone());
        move |call: &Call| match calls.fetch_add(1, Ordering::Relaxed) % 10 {
            3 => Err(Status::unavailable("not now")),
            7 => Err(Status::internal("not this time")),
            _ => {
                *seen.lock().unwrap().entry(id(call)).or_default() += 1;
                Ok(Vec::new())
            }
        }
    };
    let policy = Mortal::start(answer.clone()).await;
    // Where the policy is now, as a name service would know.
    let place = Arc::new(Mutex::new(policy.address));
    let resolve: Resolve = {
        let place = place.clone();
        Arc::new(move || {
            let address = Address::Tcp(*place.lock().unwrap());
            Box::pin(async move { Ok(vec![address]) })
        })
    };
    let url = "http://policy.test:50051".parse().unwrap();
    let channel = Channel::connect_with(url, &config::Channel::default(), resolve, RootCertStore::empty());
    let events = events_over(channel.clone(), &After { events: EVENTS, ..at_once() });

    let mut policy = Some(policy);
    for batch in 0..EVENTS / BATCH {
        if batch == 20 {
            policy.take().unwrap().kill();
        }
        if batch == 35 {
            timeout(LONG, until_failed(&channel)).await.expect("it is asked though it is down");
            assert!(events.backlog().events >= 15 * BATCH, "nobody has taken them");
            let again = Mortal::start(answer.clone()).await;
            *place.lock().unwrap() = again.address;
            policy = Some(again);
        }
        let mut deliveries = JoinSet::new();
        for number in batch * BATCH..(batch + 1) * BATCH {
            let events = events.clone();
            let command = if number % 3 == 0 { REGISTER } else { REMOVE_BLACK };
            deliveries.spawn(async move { events.deliver(event(command, &number.to_string())).await });
        }
        for delivery in deliveries.join_all().await {
            assert!(matches!(delivery, Delivery::Accepted | Delivery::Answered(_)), "{delivery:?}");
        }
    }
    timeout(LONG, events.idle()).await.expect("all are delivered");

    let seen = seen.lock().unwrap();
    let delivered: BTreeSet<usize> = seen.keys().map(|id| id.parse().unwrap()).collect();
    assert!(delivered.into_iter().eq(0..EVENTS), "none lost");
    let counts = events.counts();
    assert_eq!(counts.delivered, EVENTS as u64);
    assert!(Reason::ALL.iter().all(|reason| counts.undelivered(*reason) == 0), "{counts:?}");
    assert!(counts.retried > EVENTS as u64 / 10, "{counts:?}");
    // Twice only what was on its way when the policy died: sixteen of each rpc.
    let twice = seen.values().filter(|times| **times > 1).count();
    assert!(twice <= 32, "{twice}");
    policy.take().unwrap().kill();
}
