//! A policy service whose connections are the test's to end, and a question to ask it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookgate::config::Class;
use hookgate::config::{self, Address, PolicyTls};
use hookgate::contract::Callback;
use hookgate::contract::Metadata;
use hookgate::internals::Failure;
use hookgate::internals::policy::{Answer, Channel, Policy, PolicyCall};
use hookgate::internals::policy::{Resolve, Status};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_rustls::rustls::RootCertStore;

pub type Call = http::Request<Bytes>;
pub type Response = http::Response<BoxBody<Bytes, std::convert::Infallible>>;
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Handler = Arc<dyn Fn(Call) -> Answering + Send + Sync>;

pub struct Server {
    pub address: SocketAddr,
    calls: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    goaway: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Allows everything.
    pub async fn allow() -> Self {
        Self::at(ANY, allow).await
    }

    /// Answers what the handler says, at an address.
    pub async fn at(address: SocketAddr, answer: impl Fn(Call) -> Answering + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind(address).await.unwrap(), http2::Builder::new(TokioExecutor::new()), answer)
    }

    /// Answers on a listener, with other settings.
    pub fn on(
        listener: TcpListener,
        http2: http2::Builder<TokioExecutor>,
        answer: impl Fn(Call) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (calls, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (goaway, _) = watch::channel(());
        let (counted, made, told) = (calls.clone(), connections.clone(), goaway.clone());
        let answer: Handler = Arc::new(move |call| {
            counted.fetch_add(1, Ordering::SeqCst);
            answer(call)
        });
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                made.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(http2.clone(), stream, answer.clone(), told.subscribe()));
            }
        });
        Self { address, calls, connections, goaway, task }
    }

    /// The calls that were seen.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The connections that were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Ends every connection in good order, and goes on to listen.
    pub fn goaway(&self) {
        self.goaway.send_replace(());
    }

    /// Closes everything at once.
    pub async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// Serves one connection until it ends or is told to.
pub async fn serve(
    http2: http2::Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: Handler,
    mut goaway: watch::Receiver<()>,
) {
    let service = service_fn(move |call: http::Request<Incoming>| {
        let answer = answer.clone();
        async move {
            // A call whose body does not come in whole is none.
            let (head, body) = call.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(answer(http::Request::from_parts(head, body)).await)
        }
    });
    let mut connection = std::pin::pin!(http2.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = goaway.changed() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// An answer without a denial.
pub fn allowed() -> Response {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Full::from(&b"\0\0\0\0\0"[..]).with_trailers(std::future::ready(Some(Ok(trailers))));
    http::Response::builder().header("content-type", "application/grpc").body(BodyExt::boxed(body)).unwrap()
}

pub fn allow(_: Call) -> Answering {
    Box::pin(async { allowed() })
}

pub fn hang(_: Call) -> Answering {
    Box::pin(std::future::pending())
}

/// An answer that is a status alone.
pub fn status(code: &'static str) -> Answering {
    let response = http::Response::builder().header("content-type", "application/grpc").header("grpc-status", code);
    Box::pin(async { response.body(BodyExt::boxed(http_body_util::Empty::new())).unwrap() })
}

pub fn settings() -> config::Channel {
    config::Channel { breaker_failures: 1_000_000, ..config::Channel::default() }
}

pub fn connect(address: SocketAddr) -> Channel {
    Channel::connect(format!("http://{address}").parse().unwrap(), &settings(), &PolicyTls::default())
}

/// A channel whose name leads to what the other end says.
pub fn connect_by_name(addresses: &[SocketAddr]) -> (Channel, watch::Sender<Vec<SocketAddr>>) {
    connect_by_name_with(addresses, &settings())
}

/// The same, with other settings.
pub fn connect_by_name_with(
    addresses: &[SocketAddr],
    settings: &config::Channel,
) -> (Channel, watch::Sender<Vec<SocketAddr>>) {
    let (sender, found) = watch::channel(addresses.to_vec());
    let resolve: Resolve = Arc::new(move || {
        let found = found.borrow().iter().copied().map(Address::Tcp).collect();
        Box::pin(async move { Ok(found) })
    });
    let url = "http://policy.test:50051".parse().unwrap();
    (Channel::connect_with(url, settings, resolve, RootCertStore::empty()), sender)
}

/// Asks something that may take a time which no busy machine needs.
pub async fn ask(channel: &Channel) -> Result<Answer, Failure> {
    ask_within(channel, Duration::from_secs(60)).await
}

pub async fn ask_within(channel: &Channel, time: Duration) -> Result<Answer, Failure> {
    ask_of(channel, "callbackBeforeAddBlackCommand", time).await
}

pub async fn ask_of(channel: &Channel, command: &str, time: Duration) -> Result<Answer, Failure> {
    ask_of_until(channel, command, Instant::now() + time).await
}

pub async fn ask_until(channel: &Channel, deadline: Instant) -> Result<Answer, Failure> {
    ask_of_until(channel, "callbackBeforeAddBlackCommand", deadline).await
}

async fn ask_of_until(channel: &Channel, command: &str, deadline: Instant) -> Result<Answer, Failure> {
    let callback = Callback::by_command(command).unwrap();
    let (message, metadata) = (Bytes::new(), Metadata::default());
    let question = PolicyCall { callback, message, metadata, attempt: 1, sequence: None, late: false, deadline };
    Policy::over(channel.clone(), 1 << 20).ask(question).await
}

/// Asks in a task of its own.
pub fn asking(channel: &Channel) -> JoinHandle<Result<Answer, Failure>> {
    let channel = channel.clone();
    tokio::spawn(async move { ask(&channel).await })
}

pub async fn asked(channel: &Channel) {
    ask(channel).await.expect("an answer");
}

/// The cause of a failure, whose class is this.
pub async fn failed(channel: &Channel, class: Class) -> String {
    let failure = ask(channel).await.expect_err("no answer");
    assert_eq!(failure.class, class, "{failure}");
    failure.cause
}

/// Waits until a channel stands so.
pub async fn until(channel: &Channel, reached: impl Fn(&Status) -> bool) {
    loop {
        let changed = channel.changed();
        if reached(&channel.status()) {
            return;
        }
        changed.await;
    }
}

pub fn ready(status: &Status) -> usize {
    status.addresses.iter().filter(|address| address.state == "ready").count()
}

/// A listener on a free port that does this with each connection, whose number it is told.
pub async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(number, stream));
        }
    });
    address
}
