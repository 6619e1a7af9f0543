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

use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tracing::{info, warn};

use super::channel::{Channel, ConnectionHandle, Health};
use super::evidence::Evidence;
use super::status_tap::{NotGrpc, StatusTap, not_grpc, tap};
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
const NO_CONTRACT: &str = "nothing there speaks the contract: health and every rpc so far were answered with HTTP status \
                           404; see that the URL is the policy's gRPC address";

/// Checks every connection at once and then at this interval. Notifies of changes, and that the policy is still ready if
/// another connection began to serve, which may be another policy's. Ends with its last receiver.
pub fn watch(channel: Channel, every: impl Fn() -> Duration + Send + Sync + 'static) -> watch::Receiver<State> {
    let (state, listener) = watch::channel(State::NotReady("not asked yet".to_owned()));
    let every = Arc::new(every);
    tokio::spawn(async move {
        // Dropping it ends the tasks.
        let mut checks = JoinSet::new();
        let mut known: Vec<(ConnectionHandle, Health)> = Vec::new();
        loop {
            // Subscribes before it looks, so that no change is missed.
            let changed = channel.connections_changed();
            let connections = channel.connections();
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
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(every()), if connections.is_empty() => {}
                () = state.closed() => return,
            }
            known = connections;
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
        let answer = check(connection.clone(), channel.evidence()).await;
        if !connection.is_connected() {
            // Its end says nothing of its health.
            return;
        }
        let now = answer.unwrap_or_else(|| {
            connection.call_is_overdue();
            Health::NotServing(late())
        });
        if let Health::NotServing(why) = &now
            && before.as_ref() != Some(&now)
        {
            let address = connection.address();
            info!(%address, why, "policy address not serving");
        }
        connection.set_health(now.clone());
        before = Some(now);
        tokio::select! {
            () = tokio::time::sleep(every()) => {}
            () = connection.closed() => return,
        }
    }
}

/// Checks the health of one connection. `None` if no answer came in time.
async fn check(connection: ConnectionHandle, evidence: &Evidence) -> Option<Health> {
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.set_timeout(LATE);
    let (transport, tap) = tap(connection);
    let mut health = HealthClient::new(transport);
    let answer = tokio::time::timeout(LATE, health.check(request)).await.ok()?;
    Some(health_of(answer.map(|response| response.into_inner().status()), &tap, evidence))
}

/// Returns the health that the answer to a health check shows, together with the best answer to an rpc.
fn health_of(answer: Result<ServingStatus, Status>, tap: &StatusTap, evidence: &Evidence) -> Health {
    let status = match answer {
        Ok(ServingStatus::Serving) => return Health::Serving,
        Ok(status) => return Health::NotServing(format!("health says {}", status.as_str_name())),
        Err(status) => status,
    };
    match (tap.status(), not_grpc(&status, tap)) {
        // A proxy before a policy that is not there answers so.
        (Some(Code::Unavailable), _) => {
            Health::NotServing(format!("health says UNAVAILABLE: {}", cut(&tap.message(), LONGEST_CAUSE)))
        }
        (Some(_), _) => Health::Serving,
        (None, Some(NotGrpc::NOT_FOUND)) if evidence.grpc.load(Relaxed) => Health::Serving,
        (None, Some(NotGrpc::NOT_FOUND)) if evidence.not_found.load(Relaxed) => {
            Health::NotServing(NO_CONTRACT.to_owned())
        }
        (None, Some(NotGrpc::NOT_FOUND)) => Health::Presumed,
        (None, Some(other)) => Health::NotServing(other.to_string()),
        // The response is of application/grpc; its content does not matter.
        (None, None) if tap.response() && std::error::Error::source(&status).is_none() => Health::Serving,
        (None, None) => Health::NotServing(cause(&status)),
    }
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
    match tokio::time::timeout(LATE, channel.connected()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(State::NotReady(error.to_string())),
        Err(_) => Some(State::NotReady(late())),
    }
}

fn late() -> String {
    format!("no answer to a health check within {LATE:?}")
}

fn cause(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(error) => Failure::new(Class::Unavailable, error).cause,
        None => cut(status.message(), LONGEST_CAUSE).into_owned(),
    }
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
