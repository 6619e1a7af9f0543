//! The two ends of hookgate in a test: a policy service that answers what the test says, and a client as plain as
//! OpenIM's. Both are real servers and sockets on ports that the system chooses.

pub mod activated;
pub mod caller;
mod codec;
pub mod collector;
pub mod pki;
pub mod program;
pub mod refusing;
pub mod restartable;
pub mod tls_policy;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::response::IntoResponse;
use bytes::Bytes;
use hookgate::app::App;
use hookgate::app::Stop;
use hookgate::config::{Address, Config, ConfigHandle};
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::Events;
use hookgate::internals::policy::Channel;
use hookgate::internals::policy::{CallError, Transport};
use hookgate::internals::server::Listener;
use hookgate::internals::server::{Guards, PolicyState, ServerState};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use codec::RawCodec;

/// A Before webhook that any policy allows.
pub const COMMAND: &str = "callbackBeforeAddBlackCommand";

/// The callbacks that fail open by the contract.
pub const OPEN: [&str; 5] = [
    "callbackBeforeOfflinePushCommand",
    "callbackBeforeOnlinePushCommand",
    "callbackBeforeGroupOnlinePushCommand",
    "callbackBeforeCreateSingleChatConversationsCommand",
    "callbackBeforeCreateGroupChatConversationsCommand",
];

/// What OpenIM reads as: go on.
pub const ALLOWED: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// A webhook to a path with these headers, on whatever connection.
pub fn webhook(path: &str, headers: &[(&str, &str)]) -> http::Request<Full<Bytes>> {
    let request =
        headers.iter().fold(http::Request::post(path), |request, (name, value)| request.header(*name, *value));
    request.body(Full::from("{}")).expect("a request")
}

/// A file among the build's own with this text; gives its path. No two tests share a name.
pub fn file(name: &str, text: impl AsRef<[u8]>) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file among the build's own");
    path.into_os_string().into_string().expect("UTF-8")
}

/// An address where nothing listens, as far as anyone can know.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound")
}

/// A path in the build's folder where no file is.
pub fn free(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

/// A response that denies with this code, and with these words as message and detail, encoded.
pub fn denial(code: u64, words: &str) -> Vec<u8> {
    let mut inner = Vec::new();
    prost::encoding::uint64::encode(1, &code, &mut inner);
    prost::encoding::string::encode(2, &words.to_owned(), &mut inner);
    prost::encoding::string::encode(3, &words.to_owned(), &mut inner);
    let mut response = Vec::new();
    prost::encoding::bytes::encode(1, &inner, &mut response);
    response
}

/// The contract as another implementation reads it: prost-reflect over the embedded descriptors.
pub static CONTRACT: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(hookgate::contract::proto::DESCRIPTORS).expect("the descriptors are whole")
});

/// The rpc of a path such as `/openim.policy.v1.UserPolicyService/AfterUserRegister`.
pub fn method(rpc: &str) -> MethodDescriptor {
    let (service, method) = rpc.trim_start_matches('/').split_once('/').expect("service and method");
    let service = CONTRACT.get_service_by_name(service).expect("a service of the contract");
    service.methods().find(|candidate| candidate.name() == method).expect("a method of the service")
}

/// One call, as a policy service got it.
#[derive(Debug, Clone)]
pub struct Call {
    pub rpc: String,
    pub metadata: MetadataMap,
    pub message: Bytes,
}

impl Call {
    /// The request message, read by prost-reflect.
    pub fn request(&self) -> DynamicMessage {
        DynamicMessage::decode(method(&self.rpc).input(), self.message.clone()).expect("the rpc's request message")
    }

    /// A metadata value.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(|value| value.to_str().expect("ASCII"))
    }
}

/// What a policy service answers with: the encoded response message, or a status.
pub type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, Status>> + Send>>;

/// A policy service that answers what the test says, and records what it was asked.
pub struct Policy {
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    task: JoinHandle<()>,
}

impl Policy {
    /// Answers every rpc at once with what `answer` makes of the call.
    pub async fn start(answer: impl Fn(&Call) -> Result<Vec<u8>, Status> + Send + Sync + 'static) -> Self {
        Self::start_async(move |call| {
            let answer = answer(&call);
            Box::pin(std::future::ready(answer))
        })
        .await
    }

    /// Answers every rpc with the future that `answer` makes of the call.
    pub async fn start_async(answer: impl Fn(Call) -> Answer + Send + Sync + 'static) -> Self {
        Self::routing(|_| true, answer).await
    }

    /// Answers the rpcs whose path is served; the others get HTTP status 404, as from an HTTP router.
    pub async fn routing(
        is_served: impl Fn(&str) -> bool + Clone + Send + Sync + 'static,
        answer: impl Fn(Call) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (answer, recorded) = (Arc::new(answer), calls.clone());
        let router = axum::Router::new().fallback(move |request: Request| {
            let (answer, recorded) = (answer.clone(), recorded.clone());
            let rpc = request.uri().path().to_owned();
            let service = tower::service_fn(move |request: tonic::Request<Bytes>| {
                let (metadata, _, message) = request.into_parts();
                let call = Call { rpc: rpc.clone(), metadata, message };
                // hookgate asks for health whenever it likes.
                if !call.rpc.starts_with("/grpc.health.v1.") {
                    recorded.lock().expect("no panic while held").push(call.clone());
                }
                let answer = answer(call);
                async move { answer.await.map(Response::new) }
            });
            let is_served = is_served(request.uri().path());
            // More than hookgate's largest webhook.
            let mut grpc = tonic::server::Grpc::new(RawCodec).max_decoding_message_size(16 << 20);
            async move {
                if !is_served {
                    return (http::StatusCode::NOT_FOUND, "404 page not found\n").into_response();
                }
                grpc.unary(service, request).await.into_response()
            }
        });
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder()
            .add_routes(tonic::service::Routes::from(router))
            .serve_with_incoming(incoming);
        let task = tokio::spawn(async move { server.await.expect("the policy serves") });
        Self { address, calls, task }
    }

    /// Answers the contract's rpcs with the future that `answer` makes of the call, and knows nothing of health.
    pub async fn without_health(answer: impl Fn(Call) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_async(move |call| {
            if call.rpc.starts_with("/grpc.health.") {
                return Box::pin(async { Err(Status::unimplemented("no health")) });
            }
            answer(call)
        })
        .await
    }

    /// A policy that allows everything.
    pub async fn allow() -> Self {
        Self::start(|_| Ok(Vec::new())).await
    }

    /// A policy that tells of each call, and allows it when it is let.
    pub async fn that_waits() -> (Self, mpsc::UnboundedReceiver<()>, watch::Sender<bool>) {
        let (asked, was_asked) = mpsc::unbounded_channel();
        let (release, released) = watch::channel(false);
        let policy = Self::start_async(move |_| {
            let (asked, mut released) = (asked.clone(), released.clone());
            Box::pin(async move {
                asked.send(()).expect("the test listens");
                released.wait_for(|released| *released).await.expect("the test goes on");
                Ok(Vec::new())
            })
        })
        .await;
        (policy, was_asked, release)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls so far, taken out.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().expect("no panic while held"))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// hookgate's front in this process, before a policy service.
pub struct Gate {
    /// Of a Unix socket there is none.
    pub address: SocketAddr,
    pub place: Address,
    pub status: Arc<hookgate::internals::observe::Status>,
    pub events: Events,
    stop: Option<oneshot::Sender<Stop>>,
    task: JoinHandle<()>,
}

/// The configuration of tests: as shipped, but an After event's verdict is waited for, however busy the machine is.
pub fn config() -> Config {
    let mut config = Config::default();
    config.after.answer_within = Duration::from_secs(60);
    config
}

impl Gate {
    /// Serves before the policy at `url`.
    pub async fn start(url: &str) -> Self {
        Self::configured(url, config()).await
    }

    /// Serves before the policy at `url`, configured so.
    pub async fn configured(url: &str, config: Config) -> Self {
        let anywhere = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let policy = Some(url.parse().expect("a URL"));
        Self::serve(Config { listen: anywhere.clone(), admin_listen: anywhere, policy, ..config }).await
    }

    /// Serves at an address, before the policy at `url`, as the configuration in force says.
    pub async fn at(address: &Address, url: &str, config: impl Into<ConfigHandle>) -> Self {
        let (listener, config) = (Listener::bind(address).await.expect("a free address"), config.into());
        let now = config.now();
        let channel = Channel::connect(url.parse().expect("a URL"), &now.channel, &now.policy_tls);
        Self::listening(listener, hookgate::internals::policy::Policy::over(channel, now.limits.reply), config)
    }

    /// Serves with a handler that panics at each call.
    pub async fn that_panics(config: Config) -> Self {
        #[derive(Clone)]
        struct Panics;
        impl Transport for Panics {
            async fn unary(&self, _: http::Request<Bytes>, _: Instant, _: usize) -> Result<Bytes, CallError> {
                panic!("on purpose")
            }
        }
        Self::with_policy(hookgate::internals::policy::Policy::new(Panics, 1 << 20), config).await
    }

    /// Serves before whatever carries the calls.
    pub async fn with_policy<T: Transport + Clone>(
        policy: hookgate::internals::policy::Policy<T>,
        config: Config,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::listening(listener.into(), policy, config.into())
    }

    async fn serve(config: Config) -> Self {
        let app = App::build(config).await.expect("an app");
        let place = app.address().expect("bound");
        let (status, events) = (app.sources().status.clone(), app.sources().policies[0].events.clone());
        let (stop, stopped) = oneshot::channel();
        let until = async { stopped.await.unwrap_or(Stop::Now) };
        let task = tokio::spawn(async { app.run(until).await.expect("it stops in order") });
        Self { address: tcp(&place), place, status, events, stop: Some(stop), task }
    }

    fn listening<T: Transport + Clone>(
        listener: Listener,
        policy: hookgate::internals::policy::Policy<T>,
        config: ConfigHandle,
    ) -> Self {
        let place = listener.address().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let events = Events::in_memory(policy.clone(), &config.now().after, Decisions::default());
        let webhooks = ServerState::new(
            vec![PolicyState::new(policy, events.clone(), Arc::default())],
            Guards::default(),
            Decisions::default(),
            config,
        );
        let status = webhooks.status().clone();
        let until = async { stopped.await.unwrap_or(Stop::Now) };
        let task = tokio::spawn(hookgate::internals::server::run(listener, webhooks, until));
        Self { address: tcp(&place), place, status, events, stop: Some(stop), task }
    }

    /// Posts a body to a path.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(
            http::Request::post(format!("http://{}{path}", self.address))
                .body(Full::new(body.into()))
                .expect("a request"),
        )
        .await
    }

    /// Sends any request.
    pub async fn send(&self, request: http::Request<Full<Bytes>>) -> Reply {
        send(request).await
    }

    /// Stops, and waits until what is in flight is finished.
    pub async fn stop(mut self) {
        self.begin_to_stop(Stop::Now);
        (&mut self.task).await.expect("no panic");
    }

    /// Tells it to stop; the reply to what is in flight can still be read.
    pub fn begin_to_stop(&mut self, how: Stop) {
        if let Some(stop) = self.stop.take() {
            stop.send(how).expect("it runs");
        }
    }
}

/// The address of a TCP listener; none of a Unix socket.
fn tcp(place: &Address) -> SocketAddr {
    place.tcp().unwrap_or(SocketAddr::from(([0; 4], 0)))
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a request on a connection of its own.
pub async fn send(request: http::Request<Full<Bytes>>) -> Reply {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.expect("a response");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Reply { status: head.status, headers: head.headers, body }
}

/// What OpenIM would read.
#[derive(Debug)]
pub struct Reply {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}
