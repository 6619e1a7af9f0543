//! Posts webhooks on and on, and keeps what came of each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval};

/// A webhook and its reply.
#[derive(Debug, Clone)]
pub struct Shot {
    pub began: Instant,
    pub ended: Instant,
    /// What hookgate says became of it, or what is wrong with the reply.
    pub outcome: Result<String, String>,
}

impl Shot {
    pub fn took(&self) -> Duration {
        self.ended - self.began
    }

    pub fn allowed(&self) -> bool {
        self.is("allow")
    }

    pub fn is(&self, outcome: &str) -> bool {
        self.outcome.as_ref().is_ok_and(|of| of == outcome)
    }
}

/// Keeps connections and repeats nothing, as OpenIM does.
#[derive(Clone)]
pub struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
    to: SocketAddr,
}

impl Poster {
    pub fn new(to: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
        Self { client, to }
    }

    /// Keeps two idle connections, as OpenIM's client does.
    pub fn with_two_idle(to: SocketAddr) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        Self { client: builder.retry_canceled_requests(false).pool_max_idle_per_host(2).build_http(), to }
    }

    pub async fn post(&self, command: &str, operation_id: &str) -> Shot {
        let began = Instant::now();
        let outcome = self.outcome(command, operation_id).await;
        Shot { began, ended: Instant::now(), outcome }
    }

    async fn outcome(&self, command: &str, operation_id: &str) -> Result<String, String> {
        let request = http::Request::post(format!("http://{}/{command}", self.to)).header("operationID", operation_id);
        let request = request.body("{}".into()).expect("a request");
        let (head, body) = self.client.request(request).await.map_err(|error| format!("{error:?}"))?.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        let outcome = head.headers.get("hookgate-outcome").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let told = String::from_utf8_lossy(&body);
        if head.status == 200 && is_well_formed(&body, outcome) {
            Ok(outcome.to_owned())
        } else {
            Err(format!("{} {outcome} {told}", head.status))
        }
    }
}

/// Whether OpenIM reads in a reply what `outcome` says.
pub fn is_well_formed(body: &[u8], outcome: &str) -> bool {
    let Ok(serde_json::Value::Object(reply)) = serde_json::from_slice(body) else { return false };
    let denied = outcome == "deny" || outcome.starts_with("failed-closed:");
    let (code, next) = if denied { (5000, 1) } else { (0, 0) };
    reply.len() == 5
        && reply["actionCode"] == 0
        && reply["errCode"] == code
        && reply["nextCode"] == next
        && reply["errMsg"].as_str().is_some_and(|text| text.is_empty() != denied)
        && reply["errDlt"].as_str().is_some_and(|text| text.is_empty() != denied)
        && !outcome.is_empty()
}

/// How many came back so far.
#[derive(Debug, Default, Clone, Copy)]
pub struct Progress {
    pub replies: usize,
    pub allowed: usize,
}

/// Counts what comes back.
struct Counter(watch::Sender<Progress>);

impl Counter {
    fn count(&self, shot: Shot) -> Shot {
        self.0.send_modify(|progress| {
            progress.replies += 1;
            progress.allowed += usize::from(shot.allowed());
        });
        shot
    }
}

/// Posting on and on.
pub struct Load {
    progress: watch::Receiver<Progress>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Shot>>,
}

impl Load {
    /// So many a second, whatever becomes of those before, until told to stop.
    pub fn at_rate(poster: Poster, rate: u32, command: &'static str) -> Self {
        Self::start(|stopped, progress| async move {
            let (mut ticks, mut shots) = (interval(Duration::from_secs(1) / rate), JoinSet::new());
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                let (poster, progress) = (poster.clone(), progress.clone());
                shots.spawn(async move { progress.count(poster.post(command, "op-7").await) });
            }
            shots.join_all().await
        })
    }

    /// So many at a time, each after its reply the next one, until told to stop.
    pub fn by_workers(poster: Poster, workers: usize, command: &'static str) -> Self {
        Self::start(|stopped, progress| async move {
            let mut shots = JoinSet::new();
            for _ in 0..workers {
                let (poster, progress, stopped) = (poster.clone(), progress.clone(), stopped.clone());
                shots.spawn(async move {
                    let mut shots = Vec::new();
                    while !stopped.load(Ordering::Relaxed) {
                        shots.push(progress.count(poster.post(command, "op-7").await));
                    }
                    shots
                });
            }
            shots.join_all().await.concat()
        })
    }

    fn start<F: Future<Output = Vec<Shot>> + Send + 'static>(
        post: impl FnOnce(Arc<AtomicBool>, Arc<Counter>) -> F,
    ) -> Self {
        let (sender, progress) = watch::channel(Progress::default());
        let stop = Arc::<AtomicBool>::default();
        let task = tokio::spawn(post(stop.clone(), Arc::new(Counter(sender))));
        Self { progress, stop, task }
    }

    /// Waits for so many more replies.
    pub async fn replies(&self, more: usize) {
        self.until(|then, now| now.replies >= then.replies + more).await;
    }

    /// Waits for so many more webhooks that are allowed.
    pub async fn allowed(&self, more: usize) {
        self.until(|then, now| now.allowed >= then.allowed + more).await;
    }

    /// Waits for so many more that are not.
    pub async fn failed(&self, more: usize) {
        self.until(|then, now| now.replies - now.allowed >= then.replies - then.allowed + more).await;
    }

    async fn until(&self, enough: impl Fn(Progress, Progress) -> bool) {
        let mut progress = self.progress.clone();
        let then = *progress.borrow();
        progress.wait_for(|now| enough(then, *now)).await.expect("it goes on");
    }

    /// Stops; gives all of them once the last is back.
    pub async fn end(self) -> Vec<Shot> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic")
    }
}

/// A duration that so many of a hundred do not exceed.
pub fn percentile(shots: &[&Shot], percent: usize) -> Duration {
    let mut times: Vec<_> = shots.iter().map(|shot| shot.took()).collect();
    times.sort();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// `n 500  p50 1.2ms  p99 3.4ms  max 5.6ms`
pub fn figures<'a>(shots: impl IntoIterator<Item = &'a Shot>) -> String {
    let shots: Vec<_> = shots.into_iter().collect();
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(&shots, percent));
    format!("n {}  p50 {p50:.1?}  p99 {p99:.1?}  max {max:.1?}", shots.len())
}

/// Shows that every reply is one that OpenIM reads the way it is meant.
pub fn assert_well_formed<'a>(shots: impl IntoIterator<Item = &'a Shot>) {
    let wrong: Vec<_> = shots.into_iter().filter_map(|shot| shot.outcome.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{} replies are wrong, the first: {}", wrong.len(), wrong[0]);
}
