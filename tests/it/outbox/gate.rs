//! hookgate with a directory, its client, and a policy that keeps a book.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::process::Command;
use tokio::sync::watch;

use crate::support::program::configured;
use crate::support::restartable::{Act, Decide};

/// An After callback whose events belong to a group.
pub const GROUP: &str = "callbackAfterSendGroupMsgCommand";

/// Time enough for anything that is to happen.
pub const LONG: Duration = Duration::from_secs(60);

/// An empty directory of this name, among the build's own.
pub fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("outbox-{name}"));
    while directory.exists() {
        match std::fs::remove_dir_all(&directory) {
            // Threads of a store that was there before may still make a file.
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
            removed => removed.unwrap(),
        }
    }
    directory
}

/// hookgate before this policy, with this directory.
pub fn with_data(url: &str, data: &Path, yaml: &str) -> Command {
    let name = data.file_name().unwrap().to_str().unwrap();
    let mut command = configured(url, name, yaml);
    command.arg("--data").arg(data);
    command
}

/// A body whose event belongs to a group.
pub fn body(group: &str) -> String {
    format!(r#"{{"sendID":"u1","groupID":"{group}","content":"a secret"}}"#)
}

/// The result of a webhook.
#[derive(Debug)]
pub struct Shot {
    /// The `hookgate-outcome`; none where there was no reply.
    pub outcome: Option<String>,
    pub took: Duration,
}

/// Keeps connections, and repeats nothing.
#[derive(Clone)]
pub struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
    to: String,
}

impl Poster {
    pub fn new(to: impl std::fmt::Display) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
        Self { client, to: format!("http://{to}") }
    }

    pub async fn post(&self, command: &str, operation: &str, body: String) -> Shot {
        let began = Instant::now();
        let request = http::Request::post(format!("{}/{command}", self.to)).header("operationID", operation);
        let request = request.body(Full::from(body)).unwrap();
        let outcome = async {
            let response = self.client.request(request).await.ok()?;
            let (head, body) = response.into_parts();
            body.collect().await.ok()?;
            Some(head.headers.get("hookgate-outcome")?.to_str().ok()?.to_owned())
        };
        let outcome = outcome.await;
        Shot { outcome, took: began.elapsed() }
    }
}

/// A delivery, as the policy saw it.
#[derive(Debug, Clone)]
pub struct Taken {
    pub id: String,
    pub attempt: u32,
}

/// The events that a policy has taken: by operation, and in order.
pub struct Ledger {
    pub taken: Mutex<HashMap<String, Vec<Taken>>>,
    pub order: Mutex<Vec<String>>,
    calls: AtomicU32,
    different: watch::Sender<usize>,
}

impl Ledger {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            order: Mutex::default(),
            calls: AtomicU32::new(0),
            different: watch::Sender::new(0),
        })
    }

    /// A policy that fails one call in so many, and takes the others after a while.
    pub fn policy(self: &Arc<Self>, failing: u32, after: Duration) -> Decide {
        let ledger = self.clone();
        Arc::new(move |headers| {
            if ledger.calls.fetch_add(1, Ordering::Relaxed) % failing == failing - 1 {
                return Act::Fail;
            }
            let text = |name| headers.get(name).unwrap().to_str().unwrap().to_owned();
            let operation = text("openim-operation-id");
            let taken = Taken { id: text("hookgate-event-id"), attempt: text("hookgate-attempt").parse().unwrap() };
            let different = {
                let mut all = ledger.taken.lock().unwrap();
                all.entry(operation.clone()).or_default().push(taken);
                all.len()
            };
            ledger.order.lock().unwrap().push(operation);
            ledger.different.send_replace(different);
            if after.is_zero() { Act::Allow } else { Act::AllowAfter(after) }
        })
    }

    pub fn different(&self) -> usize {
        *self.different.borrow()
    }

    /// Waits until so many different events have been taken.
    pub async fn takes(&self, events: usize) {
        let mut different = self.different.subscribe();
        let taken = tokio::time::timeout(10 * LONG, different.wait_for(|taken| *taken >= events)).await;
        taken.unwrap_or_else(|_| panic!("{} of {events} are taken", self.different())).unwrap();
    }
}
