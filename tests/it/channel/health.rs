//! When the policy counts as ready, and what is said when it does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use hookgate::config::Class;
use hookgate::config::{self, PolicyTls};
use hookgate::internals::policy::Channel;
use hookgate::internals::policy::health::{self, State};
use http_body_util::{BodyExt, Full};
use tokio::net::TcpListener;
use tokio::sync::watch::Receiver;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::server::{
    ANY, Response, Server, allow, allowed, asked, connect, connect_by_name, failed, hang, ready, settings, until,
};
use crate::support::nobody;

const OFTEN: Duration = Duration::from_millis(5);
const NEVER: Duration = Duration::from_secs(3600);

async fn with_health(address: SocketAddr) -> (SocketAddr, HealthReporter) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, service) = tonic_health::server::health_reporter();
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, reporter)
}

async fn until_ready(states: &mut Receiver<State>) {
    states.wait_for(State::is_ready).await.unwrap();
}

async fn until_said(states: &mut Receiver<State>, part: &str) {
    states.wait_for(|state| !state.is_ready() && state.to_string().contains(part)).await.unwrap();
}

#[tokio::test]
async fn where_health_is_served_it_is_obeyed() {
    let (address, reporter) = with_health(ANY).await;
    let mut states = health::watch(connect(address), || OFTEN);
    until_ready(&mut states).await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
    until_said(&mut states, "health says NOT_SERVING").await;
    reporter.set_service_status("", ServingStatus::Serving).await;
    until_ready(&mut states).await;
}

/// A policy that allows, and its health: 1 is SERVING, 2 NOT_SERVING, anything else no answer at all.
pub async fn policy(health: &Arc<AtomicU8>, calls: &Arc<AtomicUsize>) -> Server {
    let (health, calls) = (health.clone(), calls.clone());
    Server::at(ANY, move |call| {
        if !call.uri().path().ends_with("/Check") {
            calls.fetch_add(1, Ordering::SeqCst);
            return allow(call);
        }
        let says = health.load(Ordering::SeqCst);
        if says == 0 {
            return hang(call);
        }
        Box::pin(async move {
            let body = Full::from(vec![0, 0, 0, 0, 2, 8, says]);
            let trailers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
            http::Response::builder().header("content-type", "application/grpc").body(BodyExt::boxed(body)).unwrap()
        })
    })
    .await
}

#[tokio::test]
async fn each_address_is_asked_by_itself_and_one_that_does_not_serve_gets_no_calls_while_another_does() {
    let health = [(); 2].map(|()| Arc::new(AtomicU8::new(1)));
    let calls = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let servers = [policy(&health[0], &calls[0]).await, policy(&health[1], &calls[1]).await];
    let (channel, _name) = connect_by_name(&servers.each_ref().map(|server| server.address));
    let mut states = health::watch(channel.clone(), || OFTEN);
    until_ready(&mut states).await;
    let says =
        |says: &[u8; 2]| says.iter().zip(&health).for_each(|(says, health)| health.store(*says, Ordering::SeqCst));
    let took = async || {
        let before = calls.each_ref().map(|calls| calls.load(Ordering::SeqCst));
        for _ in 0..20 {
            asked(&channel).await;
        }
        [0, 1].map(|n| calls[n].load(Ordering::SeqCst) - before[n])
    };
    for (said, share) in [
        ([2, 1], [0, 20]),
        ([1, 2], [20, 0]),
        ([1, 1], [10, 10]),
        // No answer is none to rely on.
        ([0, 1], [0, 20]),
        ([1, 1], [10, 10]),
        // As with one address: its calls go on, and readiness is what says so.
        ([2, 2], [10, 10]),
    ] {
        says(&said);
        let serving = said.map(|said| said == 1);
        until(&channel, |status| [0, 1].map(|n| status.addresses[n].state == "ready") == serving).await;
        assert_eq!(took().await, share, "{said:?}");
        states.wait_for(|state| state.is_ready() == serving.contains(&true)).await.unwrap();
    }
    until_said(&mut states, &format!("{}: health says NOT_SERVING; ", servers[0].address)).await;
}

#[tokio::test]
async fn an_address_that_serves_is_not_drained_before_another_one_serves() {
    let health = [1, 2].map(|says| Arc::new(AtomicU8::new(says)));
    let calls = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let servers = [policy(&health[0], &calls[0]).await, policy(&health[1], &calls[1]).await];
    let (channel, name) = connect_by_name(&[servers[0].address]);
    let mut states = health::watch(channel.clone(), || OFTEN);
    until_ready(&mut states).await;
    name.send_replace(vec![servers[1].address]);
    channel.look_up();
    until(&channel, |status| status.addresses.iter().any(|address| address.kind == "not_serving")).await;
    for _ in 0..20 {
        asked(&channel).await;
    }
    assert_eq!(calls.each_ref().map(|calls| calls.load(Ordering::SeqCst)), [20, 0]);
    health[1].store(1, Ordering::SeqCst);
    until(&channel, |status| status.addresses.len() == 1 && ready(status) == 1).await;
    asked(&channel).await;
    assert_eq!(calls.each_ref().map(|calls| calls.load(Ordering::SeqCst)), [20, 1]);
}

#[tokio::test]
async fn another_policy_that_is_ready_is_told_of() {
    let (calls, serving) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU8::new(1)));
    let servers = [policy(&serving, &calls).await, policy(&serving, &calls).await];
    let channel = connect(servers[0].address);
    let mut states = health::watch(channel.clone(), || NEVER);
    until_ready(&mut states).await;
    states.mark_unchanged();
    let url = format!("http://{}", servers[1].address).parse().unwrap();
    channel.replace(url, &settings(), &PolicyTls::default()).await;
    timeout(Duration::from_secs(20), states.changed()).await.expect("it is told of").unwrap();
    assert_eq!((states.borrow().clone(), servers[1].calls()), (State::Ready, 1));
}

#[tokio::test]
async fn where_it_is_not_any_status_will_do() {
    for (code, ready) in [("12", true), ("2", true), ("16", true), ("14", false)] {
        let server = Server::at(ANY, move |_| {
            let mut response = allowed().map(|_| http_body_util::BodyExt::boxed(http_body_util::Empty::new()));
            response.headers_mut().insert("grpc-status", http::HeaderValue::from_static(code));
            Box::pin(async { response })
        })
        .await;
        let mut states = health::watch(connect(server.address), || NEVER);
        if ready { until_ready(&mut states).await } else { until_said(&mut states, "UNAVAILABLE").await }
    }
}

fn http_status(status: u16, content_type: &str) -> Response {
    let response = http::Response::builder().status(status).header("content-type", content_type);
    response.body(http_body_util::BodyExt::boxed(http_body_util::Empty::new())).unwrap()
}

#[tokio::test]
async fn what_is_not_grpc_is_not_ready() {
    for (status, content_type, ready) in [
        (200, "application/grpc", true),
        (200, "text/html", false),
        (403, "text/html", false),
        (500, "text/html", false),
        (503, "text/html", false),
        (503, "application/grpc", false),
    ] {
        let server = Server::at(ANY, move |call| {
            let is_health = call.uri().path().starts_with("/grpc.health");
            let response = if is_health { http_status(status, content_type) } else { allowed() };
            Box::pin(async { response })
        })
        .await;
        let channel = connect(server.address);
        let mut states = health::watch(channel.clone(), || OFTEN);
        let said = if status == 200 { "content type".to_owned() } else { format!("HTTP status {status}") };
        if ready {
            until_ready(&mut states).await;
        } else {
            until_said(&mut states, &said).await;
            // Nor does it become so: health is there, and it is not the policy's.
            asked(&channel).await;
            assert!(!states.borrow().is_ready(), "{status} {content_type}");
        }
    }
}

/// A server of which no service is registered that is not served.
async fn router(address: SocketAddr, serves: Arc<AtomicBool>) -> Server {
    Server::at(address, move |call| {
        let is_served = !call.uri().path().starts_with("/grpc.health") && serves.load(Ordering::SeqCst);
        let response = if is_served { allowed() } else { http_status(404, "text/plain") };
        Box::pin(async { response })
    })
    .await
}

async fn until_presumed(states: &mut Receiver<State>) {
    let state = states.wait_for(|state| *state == State::Presumed).await.unwrap();
    assert!(state.is_ready() && state.to_string().contains("no rpc has been answered yet"), "{}", *state);
}

#[tokio::test]
async fn a_404_to_health_alone_is_taken_as_ready_and_an_answer_to_any_rpc_proves_it() {
    let server = router(ANY, Arc::new(AtomicBool::new(true))).await;
    let channel = connect(server.address);
    let mut states = health::watch(channel.clone(), || OFTEN);
    until_presumed(&mut states).await;
    asked(&channel).await;
    states.wait_for(|state| *state == State::Ready).await.unwrap();
}

#[tokio::test]
async fn where_every_rpc_is_answered_with_404_too_nothing_there_speaks_the_contract() {
    let serves = Arc::new(AtomicBool::new(false));
    let server = router(ANY, serves.clone()).await;
    let (address, channel) = (server.address, connect(server.address));
    let mut states = health::watch(channel.clone(), || OFTEN);
    until_presumed(&mut states).await;
    let cause = failed(&channel, Class::Unimplemented).await;
    assert!(cause.contains("HTTP status 404"), "{cause}");
    until_said(&mut states, "nothing there speaks the contract").await;
    // One rpc is enough.
    serves.store(true, Ordering::SeqCst);
    asked(&channel).await;
    until_ready(&mut states).await;
    // Whatever listens there after a while may be something else.
    serves.store(false, Ordering::SeqCst);
    failed(&channel, Class::Unimplemented).await;
    assert!(states.borrow().is_ready());
    server.kill().await;
    until_said(&mut states, "not connected").await;
    let _server = router(address, serves).await;
    until_presumed(&mut states).await;
}

#[tokio::test]
async fn what_rpcs_have_proven_outlives_a_connection_while_another_one_stands() {
    let serves = Arc::new(AtomicBool::new(true));
    let servers = [router(ANY, serves.clone()).await, router(ANY, serves).await];
    let (channel, _name) = connect_by_name(&servers.each_ref().map(|server| server.address));
    let mut states = health::watch(channel.clone(), || OFTEN);
    until(&channel, |status| ready(status) == 2).await;
    asked(&channel).await;
    states.wait_for(|state| *state == State::Ready).await.unwrap();
    servers[0].goaway();
    until(&channel, |status| ready(status) == 2 && servers[0].connections() == 2).await;
    // Each is asked for its health often enough to say something else.
    let before = servers.each_ref().map(Server::calls);
    while servers.iter().zip(before).any(|(server, before)| server.calls() < before + 5) {
        tokio::task::yield_now().await;
    }
    assert_eq!(*states.borrow(), State::Ready);
}

#[tokio::test]
async fn it_follows_the_connection_without_waiting_for_its_turn() {
    let address = nobody().await;
    let mut states = health::watch(connect(address), || NEVER);
    until_said(&mut states, &format!("not connected: {address}: ")).await;
    let server = Server::at(address, |_| Box::pin(async { allowed() })).await;
    // An empty answer: health is served, and says nothing.
    until_said(&mut states, "health says UNKNOWN").await;
    server.kill().await;
    until_said(&mut states, "not connected").await;
    let (_, _reporter) = with_health(address).await;
    until_ready(&mut states).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_has_no_stream_for_it_is_not_ready() {
    // Nobody accepts; the system does, and so the attempt to connect is under way for as long as it may take.
    let listener = TcpListener::bind(ANY).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let settings = config::Channel { connect_timeout: NEVER, ..settings() };
    let channel = Channel::connect(url, &settings, &PolicyTls::default());
    until_said(&mut health::watch(channel, || NEVER), "no answer to a health check within 2s").await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_accepts_and_does_not_answer_is_not_ready() {
    let server = Server::at(ANY, hang).await;
    until_said(&mut health::watch(connect(server.address), || NEVER), "no answer to a health check within 2s").await;
}
