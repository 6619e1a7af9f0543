//! Health checks: each connection is checked by `grpc.health.v1`, and the policy is ready while one of them serves.
//!
//! The health of a connection decides whether the channel picks it. Any gRPC answer counts as serving, but for
//! `NOT_SERVING` and `UNAVAILABLE`; a connection alone proves nothing.
//!
//! HTTP routers, on which some gRPC servers are built, answer 404 for a service that is not registered, which health may
//! be. So a 404 is presumed ready until rpcs are answered: one gRPC answer proves it; if every rpc is answered with 404
//! too, nothing there serves the contract.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use prost::Message as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;
use tracing::{info, warn};

use super::CallError;
use super::channel::{self, Channel, ConnectionHandle, Health, NO_CONTRACT};
use super::evidence::Evidence;
use super::grpc::{self, NotGrpc};
use crate::cut::cut;
use crate::failure::{Class, Failure, LONGEST_CAUSE};

/// The readiness of the policy service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The policy is ready.
    Ready,
    /// The policy is presumed ready: health checks are answered with HTTP 404, and no rpc has been answered yet.
    Presumed,
    /// The policy is not ready, and why. For operators only, as it may name an address.
    NotReady(String),
}

/// Timeout of a health check.
const LATE: Duration = Duration::from_secs(2);

const PRESUMED: &str = "health is answered with HTTP status 404, and no rpc has been answered yet";

/// Checks every connection at once and then at this interval. Notifies of changes, and that the policy is still ready if
/// another connection began to serve, which may be another policy's. Ends with its last receiver.
pub fn watch(channel: Channel, every: impl Fn() -> Duration + Send + Sync + 'static) -> watch::Receiver<State> {
    let (state, listener) = watch::channel(State::NotReady("not asked yet".to_owned()));
    let every = Arc::new(every);
    tokio::spawn(async move {
        // Dropping it ends the tasks.
        let mut checks = JoinSet::new();
        let (mut known, mut connections) = (Vec::new(), channel.connections());
        loop {
            if !connections.is_empty() && connections.iter().all(|(connection, _)| find(&known, connection).is_none()) {
                // All connections are new, perhaps to another policy.
                channel.evidence().forget();
            }
            let mut is_another = false;
            for (connection, health) in &connections {
                let before = find(&known, connection);
                if before.is_none() {
                    checks.spawn(check_repeatedly(channel.clone(), connection.clone(), every.clone()));
                }
                is_another |= health.serves() && !before.is_some_and(Health::serves);
            }
            while checks.try_join_next().is_some() {}
            let now = match aggregate(&connections) {
                _ if connections.is_empty() => unconnected(&channel).await,
                aggregate => aggregate,
            };
            if let Some(now) = now {
                publish(&state, now, is_another);
            }
            let next = tokio::select! {
                next = channel.connections_other_than(&connections) => next,
                () = sleep(every()), if connections.is_empty() => Vec::new(),
                () = state.closed() => return,
            };
            known = std::mem::replace(&mut connections, next);
        }
    });
    listener
}

fn find<'k>(known: &'k [(ConnectionHandle, Health)], connection: &ConnectionHandle) -> Option<&'k Health> {
    known.iter().find(|(known, _)| known == connection).map(|(_, health)| health)
}

fn publish(state: &watch::Sender<State>, now: State, is_another: bool) {
    state.send_if_modified(|before| {
        let modified = *before != now;
        if modified {
            match &now {
                State::Ready => info!("policy ready"),
                State::Presumed => info!(why = PRESUMED, "policy presumed ready"),
                State::NotReady(why) => warn!(why, "policy not ready"),
            }
            *before = now;
        }
        modified || (is_another && before.is_ready())
    });
}

/// Checks the health of one connection at this interval, while it takes calls.
async fn check_repeatedly(channel: Channel, connection: ConnectionHandle, every: Arc<impl Fn() -> Duration>) {
    let mut before = None;
    while connection.is_connected() {
        let answer = check(&connection).await;
        if !connection.is_connected() {
            // Its end says nothing of its health.
            return;
        }
        let now = health_of(answer, channel.evidence());
        if let Health::NotServing(why) = &now
            && before.as_ref() != Some(&now)
        {
            let address = connection.address();
            info!(%address, why, "policy address not serving");
        }
        connection.set_health(now.clone());
        before = Some(now);
        tokio::select! {
            () = sleep(every()) => {}
            () = connection.closed() => return,
        }
    }
}

/// Checks the health of one connection.
async fn check(connection: &ConnectionHandle) -> Result<Bytes, CallError> {
    // A `HealthCheckRequest` for the server as a whole has no bytes.
    let mut call = Request::new(Bytes::new());
    *call.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    grpc::set_timeout(call.headers_mut(), LATE, false);
    connection.check(call, LATE).await
}

/// Returns the health that the answer to a health check shows, together with the best answer to an rpc.
fn health_of(answer: Result<Bytes, CallError>, evidence: &Evidence) -> Health {
    let why = match answer.map(HealthCheckResponse::decode) {
        Ok(Ok(response)) if response.status() != ServingStatus::Serving => {
            format!("health says {}", response.status().as_str_name())
        }
        // The response is of application/grpc; its content does not matter.
        Ok(_) | Err(CallError::Invalid(_)) => return Health::Serving,
        // A proxy before a policy that is not there answers so.
        Err(CallError::Status(Code::Unavailable, message)) => {
            format!("health says UNAVAILABLE: {}", cut(&message, LONGEST_CAUSE))
        }
        Err(CallError::Status(..)) => return Health::Serving,
        Err(CallError::NotGrpc(NotGrpc::NOT_FOUND)) if evidence.grpc.load(Relaxed) => return Health::Serving,
        Err(CallError::NotGrpc(NotGrpc::NOT_FOUND)) if evidence.not_found.load(Relaxed) => NO_CONTRACT.to_owned(),
        Err(CallError::NotGrpc(NotGrpc::NOT_FOUND)) => return Health::Presumed,
        Err(CallError::Channel(channel::Error::DeadlineExceeded)) => late(),
        Err(error) => Failure::new(Class::Unavailable, &error).cause,
    };
    Health::NotServing(why)
}

/// Aggregates the health of the addresses: ready if one serves. `None` while that depends on one without an answer yet.
fn aggregate(connections: &[(ConnectionHandle, Health)]) -> Option<State> {
    if connections.iter().any(|(_, health)| *health == Health::Serving) {
        return Some(State::Ready);
    }
    if connections.iter().any(|(_, health)| *health == Health::Presumed) {
        return Some(State::Presumed);
    }
    let whys = connections.iter().map(|(connection, health)| match health {
        Health::NotServing(why) if connections.len() == 1 => Some(why.clone()),
        Health::NotServing(why) => Some(format!("{}: {why}", connection.address())),
        Health::Serving | Health::Presumed | Health::Unknown => None,
    });
    Some(State::NotReady(whys.collect::<Option<Vec<_>>>()?.join("; ")))
}

/// Waits for a connection. `None` if there is one now; else the reason why there is none.
async fn unconnected(channel: &Channel) -> Option<State> {
    match timeout(LATE, channel.connected()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(State::NotReady(error.to_string())),
        Err(_) => Some(State::NotReady(late())),
    }
}

fn late() -> String {
    format!("no answer to a health check within {LATE:?}")
}

impl State {
    /// Returns true if webhooks can be answered.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready | Self::Presumed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Presumed => write!(f, "ready: {PRESUMED}"),
            Self::NotReady(why) => f.write_str(why),
        }
    }
}
