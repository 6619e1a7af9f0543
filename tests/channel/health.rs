//! When the policy counts as ready, and what is said when it does not.

use std::net::SocketAddr;
use std::time::Duration;

use hookgate::config::{self, PolicyTls};
use hookgate::policy::Channel;
use hookgate::policy::health::{self, State};
use tokio::net::TcpListener;
use tokio::sync::watch::Receiver;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::server::{ANY, Server, allowed, connect, hang, nobody, settings};

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

#[tokio::test]
async fn what_is_not_grpc_is_not_ready() {
    let server = Server::at(ANY, |_| {
        let response = http::Response::builder().status(404);
        Box::pin(async { response.body(http_body_util::BodyExt::boxed(http_body_util::Empty::new())).unwrap() })
    })
    .await;
    until_said(&mut health::watch(connect(server.address), || NEVER), "HTTP status 404").await;
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
