//! How it stops: nobody is sent away without a reply, nothing that was taken is lost, and it does not take for ever.

mod activation;
mod balancer;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balancer::Balancer;
use bytes::Bytes;
use hookgate::app::Stop;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Status;

use crate::support::program::{EVERYTHING_FREE, Running, configured};
use crate::support::{ALLOWED, Gate, Policy, Reply};

const BEFORE: &str = "callbackBeforeAddBlackCommand";
const AFTER: &str = "callbackAfterRemoveBlackCommand";

async fn allowing() -> Policy {
    Policy::without_health(|_| Box::pin(async { Ok(Vec::new()) })).await
}

/// A connection as a client keeps it.
struct Kept {
    requests: SendRequest<Full<Bytes>>,
    /// Ends when the connection does.
    open: JoinHandle<()>,
}

impl Kept {
    async fn open(address: SocketAddr) -> Self {
        let (requests, connection) = handshake(TokioIo::new(TcpStream::connect(address).await.unwrap())).await.unwrap();
        // How it ends is not asked: a reply that is missing shows itself.
        Self { requests, open: tokio::spawn(async { drop(connection.await) }) }
    }

    async fn post(&mut self, command: &str) -> Reply {
        let request = http::Request::post(format!("/{command}")).header("host", "h").body("{}".into()).unwrap();
        let (head, body) = self.requests.send_request(request).await.expect("a response").into_parts();
        Reply { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    /// Waits until the other side has closed it.
    async fn closed(self) {
        self.open.await.unwrap();
    }
}

fn asks_to_close(reply: &Reply) -> bool {
    reply.headers.get("connection").is_some_and(|value| value == "close")
}

/// Waits until it says that it is stopping.
async fn stopping(hookgate: &Running) {
    let reply = loop {
        let reply = hookgate.ask("/readyz").await;
        if reply.status.as_u16() != 200 {
            break reply;
        }
    };
    assert_eq!((reply.status.as_u16(), &*reply.body), (503, &b"stopping\n"[..]));
}

/// Waits until nobody new is accepted.
async fn closed_to_others(hookgate: &Running) {
    while TcpStream::connect(hookgate.webhooks).await.is_ok() {}
}

#[tokio::test]
async fn while_the_delay_lasts_it_is_not_ready_and_answers_everybody() {
    let policy = allowing().await;
    let hookgate = Running::of(configured(&policy.url(), "delay", "drain: {delay: 1h}")).await;
    let [mut busy, mut idle] = [Kept::open(hookgate.webhooks).await, Kept::open(hookgate.webhooks).await];
    for connection in [&mut busy, &mut idle] {
        let reply = connection.post(BEFORE).await;
        assert_eq!((&*reply.body, asks_to_close(&reply)), (ALLOWED.as_bytes(), false));
    }
    assert_eq!(hookgate.ask("/readyz").await.status.as_u16(), 200);

    hookgate.signal("-TERM").await;
    stopping(&hookgate).await;
    assert_eq!(hookgate.ask("/livez").await.status.as_u16(), 200);
    assert_eq!(hookgate.status().await["stopping"], true);
    for mut connection in [busy, Kept::open(hookgate.webhooks).await, idle] {
        let reply = connection.post(BEFORE).await;
        assert_eq!((&*reply.body, asks_to_close(&reply)), (ALLOWED.as_bytes(), true));
        connection.closed().await;
    }
    // What is no webhook, and an After event, are replies like any other.
    for command in ["nothing", AFTER] {
        assert!(asks_to_close(&hookgate.post(command, "{}").await), "{command}");
    }
}

#[tokio::test]
async fn what_is_in_flight_when_the_delay_is_over_is_finished() {
    let (release, released) = watch::channel(false);
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let policy = Policy::without_health(move |call| {
        let (asked, mut released) = (asked.clone(), released.clone());
        Box::pin(async move {
            if call.rpc.ends_with("BeforeAddBlack") {
                asked.send(()).unwrap();
                released.wait_for(|released| *released).await.unwrap();
            }
            Ok(Vec::new())
        })
    })
    .await;
    let yaml = "budget: 15s\ndrain: {delay: 10ms, time: 1m}";
    let hookgate = Running::of(configured(&policy.url(), "in-flight", yaml)).await;
    let mut busy = Kept::open(hookgate.webhooks).await;
    let [mut used, idle] = [Kept::open(hookgate.webhooks).await, Kept::open(hookgate.webhooks).await];
    let in_flight = tokio::spawn(async move {
        let reply = busy.post(BEFORE).await;
        busy.closed().await;
        reply
    });
    was_asked.recv().await.unwrap();

    hookgate.signal("-TERM").await;
    closed_to_others(&hookgate).await;
    // Idle ones are closed last: what is on its way over them is answered.
    let reply = used.post(AFTER).await;
    assert_eq!((&*reply.body, asks_to_close(&reply)), (ALLOWED.as_bytes(), true));
    used.closed().await;
    release.send(true).unwrap();
    let reply = in_flight.await.unwrap();
    assert_eq!((&*reply.body, asks_to_close(&reply)), (ALLOWED.as_bytes(), true));
    idle.closed().await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("cut off"), "{said}");
}

#[tokio::test]
async fn after_events_that_wait_for_their_time_are_delivered_before_it_ends() {
    let works = Arc::new(AtomicBool::new(false));
    let delivered = Arc::new(Mutex::new(BTreeSet::new()));
    let (switch, list) = (works.clone(), delivered.clone());
    let policy = Policy::without_health(move |call| {
        let works = switch.load(Ordering::Relaxed);
        if works {
            list.lock().unwrap().insert(call.metadata("hookgate-event-id").unwrap().to_owned());
        }
        Box::pin(async move { if works { Ok(Vec::new()) } else { Err(Status::unavailable("not yet")) } })
    })
    .await;
    let yaml = "after: {retry_min: 1h, retry_max: 1h}\ndrain: {delay: 10ms, time: 1m}";
    let hookgate = Running::of(configured(&policy.url(), "flush", yaml)).await;
    for _ in 0..20 {
        assert_eq!(hookgate.post(AFTER, "{}").await.body, ALLOWED);
    }
    let events = &hookgate.status().await["after_events"];
    assert_eq!((&events["backlog"]["events"], &events["delivered"]), (&20.into(), &0.into()));
    works.store(true, Ordering::Relaxed);

    hookgate.signal("-TERM").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(delivered.lock().unwrap().len(), 20);
    assert!(!said.contains("undelivered"), "{said}");
}

#[tokio::test]
async fn nothing_that_never_ends_keeps_it() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let policy = Policy::without_health(move |_| {
        asked.send(()).unwrap();
        Box::pin(std::future::pending())
    })
    .await;
    let yaml = "budget: 15s\ndrain: {delay: 10ms, time: 100ms}";
    let hookgate = Running::of(configured(&policy.url(), "never", yaml)).await;
    // A call, an event, a head and a body that do not end.
    let mut streams = Vec::new();
    for request in [
        format!("POST /{BEFORE} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("POST /{AFTER} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("POST /{BEFORE} HTTP/1.1\r\nhost: h\r\n"),
        format!("POST /{BEFORE} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{"),
    ] {
        let mut stream = TcpStream::connect(hookgate.webhooks).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    was_asked.recv().await.unwrap();
    was_asked.recv().await.unwrap();

    hookgate.signal("-TERM").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("drain time over, calls cut off"), "{said}");
    assert!(said.contains("events lost at shutdown"), "{said}");
}

#[tokio::test]
async fn whoever_watches_the_built_in_policy_does_not_keep_it() {
    let hookgate = Running::start(&EVERYTHING_FREE).await;
    let channel = tonic::transport::Endpoint::from_shared(hookgate.policy.clone()).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let mut watching = health.watch(tonic_health::pb::HealthCheckRequest::default()).await.unwrap().into_inner();
    watching.message().await.unwrap().expect("its state now");

    hookgate.signal("-INT").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn ctrl_c_leaves_out_the_delay() {
    let policy = allowing().await;
    let hookgate = Running::of(configured(&policy.url(), "ctrl-c", "drain: {delay: 1h}")).await;
    let idle = Kept::open(hookgate.webhooks).await;
    hookgate.signal("-INT").await;
    idle.closed().await;
    assert_eq!(hookgate.end().await.0, Some(0));
}

#[tokio::test]
async fn connections_that_nobody_has_accepted_yet_are_answered() {
    let policy = allowing().await;
    for _ in 0..5 {
        let mut gate = Gate::start(&policy.url()).await;
        assert_eq!(gate.post(&format!("/{BEFORE}"), "{}").await.body, ALLOWED);
        gate.begin_to_stop(Stop::Now);
        // The front has this one thread: until this test waits for something, the system has these connections.
        let request = format!("POST /{BEFORE} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{}}");
        let waiting = [(); 100].map(|()| {
            let mut stream = std::net::TcpStream::connect(gate.address).expect("the system accepts it");
            std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            TcpStream::from_std(stream).unwrap()
        });
        for mut stream in waiting {
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.expect("no reset");
            assert!(reply.ends_with(ALLOWED), "{reply:?}");
        }
        gate.stop().await;
    }
}

#[tokio::test]
async fn a_connection_may_say_its_first_word_when_everybody_is_turned_away() {
    let policy = allowing().await;
    let mut gate = Gate::start(&policy.url()).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    while gate.status.connections.held() == 0 {
        tokio::task::yield_now().await;
    }
    gate.begin_to_stop(Stop::Now);
    // Enough for the front to notice, and far less than it waits.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let request = format!("POST /{BEFORE} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("no reset");
    assert!(reply.ends_with(ALLOWED), "{reply:?}");
}

/// Posts steadily over two connections that it keeps, as OpenIM does, until told to stop. Repeats nothing.
struct Steady {
    replies: watch::Sender<Replies>,
    workers: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug, Default, Clone)]
struct Replies {
    sent: usize,
    allowed: usize,
    closing: usize,
    wrong: Vec<String>,
}

impl Steady {
    fn start(address: SocketAddr) -> Self {
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(2).retry_canceled_requests(false).build_http();
        let (replies, stop) = (watch::Sender::new(Replies::default()), Arc::new(AtomicBool::new(false)));
        let mut workers = JoinSet::new();
        for _ in 0..2 {
            let (client, replies, stop) = (client.clone(), replies.clone(), stop.clone());
            workers.spawn(async move {
                let mut steadily = interval(Duration::from_millis(2));
                steadily.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    steadily.tick().await;
                    replies.send_modify(|replies| replies.sent += 1);
                    let request = http::Request::post(format!("http://{address}/{BEFORE}")).body("{}".into()).unwrap();
                    let answer = async {
                        let (head, body) =
                            client.request(request).await.map_err(|error| format!("{error:?}"))?.into_parts();
                        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
                        Ok(Reply { status: head.status, headers: head.headers, body })
                    };
                    let answer: Result<Reply, String> = answer.await;
                    replies.send_modify(|replies| match answer {
                        Ok(reply) if reply.body == ALLOWED && reply.status == 200 => {
                            replies.allowed += 1;
                            replies.closing += usize::from(asks_to_close(&reply));
                        }
                        other => replies.wrong.push(format!("{other:?}")),
                    });
                }
            });
        }
        Self { replies, workers, stop }
    }

    /// Waits for a hundred more replies.
    async fn goes_on(&self) {
        let goal = self.replies.borrow().allowed + 100;
        let mut replies = self.replies.subscribe();
        let replies = replies.wait_for(|replies| replies.allowed >= goal || !replies.wrong.is_empty()).await.unwrap();
        assert_eq!(replies.wrong, Vec::<String>::new());
    }

    async fn end(self) -> Replies {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.join_all().await;
        self.replies.borrow().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_two_copies_leaves_no_request_without_a_reply() {
    let policy = allowing().await;
    let start = async || Running::of(configured(&policy.url(), "rolling", "drain: {delay: 1s}")).await;
    let mut copies = [start().await, start().await];
    let balancer = Balancer::start().await;
    for (place, copy) in copies.iter().enumerate() {
        balancer.set(place, copy);
    }
    let client = Steady::start(balancer.address);
    client.goes_on().await;
    for place in [0, 1] {
        copies[place].signal("-TERM").await;
        let next = start().await;
        let (code, said) = std::mem::replace(&mut copies[place], next).end().await;
        assert_eq!(code, Some(0), "{said}");
        balancer.set(place, &copies[place]);
        client.goes_on().await;
    }
    // The first to be started again is the only one that was ready when the second went.
    let counted = &copies[0].status().await["callbacks"][BEFORE]["outcomes"];
    assert!(counted["allow"].as_u64() > Some(0), "{counted}");
    let replies = client.end().await;
    assert_eq!((replies.wrong.len(), replies.allowed), (0, replies.sent), "{:?}", replies.wrong);
    assert!(replies.closing >= 2, "connections were closed by a reply: {}", replies.closing);
}
