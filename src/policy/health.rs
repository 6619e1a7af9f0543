//! Readiness of the policy service, and health of each of its endpoints: it has answered something in gRPC, and where it
//! serves `grpc.health.v1`, says that it serves. That a connection was made proves nothing.
//!
//! Each connection is asked by itself. What it says decides which ones the [channel](super::channel) picks for calls; the
//! policy is ready while one of them serves.
//!
//! HTTP routers, which some gRPC servers are built on, answer 404 for a service that is not registered, health too. So a
//! 404 to health alone is taken as ready, until rpcs are answered: one answer in gRPC proves it; where every rpc was
//! answered with 404 as well, nothing there speaks the contract.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tracing::{info, warn};

use super::channel::{Channel, ConnectionHandle, Health, HealthTransport};
use super::rpcs::Answered;
use super::status_tap::{NotGrpc, StatusTap, TapTransport, not_grpc};
use crate::config;
use crate::cut::cut;
use crate::failure::{Class, Failure, LONGEST_CAUSE};

/// Whether the policy service is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is.
    Ready,
    /// It is taken as ready: something answers HTTP 404 to health checks, and no rpc has been answered yet.
    Presumed,
    /// It is not, and why. For operators: there may be an address in it.
    NotReady(String),
}

/// The longest time without an answer.
const LATE: Duration = Duration::from_secs(2);

const PRESUMED: &str = "health is answered with HTTP status 404, and no rpc has been answered yet";
const NO_CONTRACT: &str = "nothing there speaks the contract: health and every rpc so far were answered with HTTP status \
                           404; see that the URL is the policy's gRPC address";

/// Asks every connection at once, and then every so often. Tells what has changed, and that the policy is ready when it may be
/// another one. Ends when nobody listens.
pub fn watch(channel: Channel, every: impl Fn() -> Duration + Send + Sync + 'static) -> watch::Receiver<State> {
    let (state, listener) = watch::channel(State::NotReady("not asked yet".to_owned()));
    let every = Arc::new(every);
    tokio::spawn(async move {
        // Dropped at the end, and every task with it.
        let mut asking = JoinSet::new();
        let mut serving_events = 0;
        loop {
            // From before it is looked at, so that nothing is missed.
            let generation = channel.connections_changed();
            let (connections, all) = channel.take_unchecked();
            if all && !connections.is_empty() {
                // Another policy may answer over them.
                channel.rpcs().forget();
            }
            for connection in connections {
                asking.spawn(follow(channel.clone(), connection, every.clone()));
            }
            while asking.try_join_next().is_some() {}
            // Before the health is read, so that no arrival is taken for an earlier one.
            let arrived = channel.serving_events();
            let endpoints = channel.health();
            let now = match sum(&endpoints) {
                _ if endpoints.is_empty() => unconnected(&channel).await,
                sum => sum,
            };
            if let Some(now) = now {
                let arrives = arrived != std::mem::replace(&mut serving_events, arrived);
                publish(&state, now, arrives);
            }
            tokio::select! {
                () = generation => {}
                () = tokio::time::sleep(every()), if endpoints.is_empty() => {}
                () = state.closed() => return,
            }
        }
    });
    listener
}

fn publish(state: &watch::Sender<State>, now: State, arrives: bool) {
    state.send_if_modified(|before| {
        let modified = *before != now;
        if modified {
            match &now {
                State::Ready => info!("the policy is ready"),
                State::Presumed => info!(why = PRESUMED, "the policy is taken as ready"),
                State::NotReady(why) => warn!(why, "the policy is not ready"),
            }
            *before = now;
        }
        modified || (arrives && before.is_ready())
    });
}

/// Asks one connection for its health, as long as it takes calls.
async fn follow(channel: Channel, connection: ConnectionHandle, every: Arc<impl Fn() -> Duration>) {
    let mut before = None;
    while let Some(transport) = connection.transport() {
        let answer = ask(transport, channel.rpcs().answered()).await;
        if connection.transport().is_none() {
            // It has ended, which says nothing of its health.
            return;
        }
        let now = match answer {
            Some(State::Ready) => Health::Serving,
            Some(State::Presumed) => Health::Presumed,
            Some(State::NotReady(why)) => Health::NotServing(why),
            None => {
                connection.call_is_overdue();
                Health::NotServing(late())
            }
        };
        if let Health::NotServing(why) = &now
            && before.as_ref() != Some(&now)
        {
            let address = connection.address();
            info!(%address, why, "an address of the policy does not serve");
        }
        connection.set_health(now.clone());
        before = Some(now);
        tokio::select! {
            () = tokio::time::sleep(every()) => {}
            () = connection.ended() => return,
        }
    }
}

/// Asks over one connection. Nothing where no answer came in time.
async fn ask(transport: HealthTransport, rpcs: Answered) -> Option<State> {
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.set_timeout(LATE);
    let (transport, seen) = TapTransport::new(transport);
    let mut health = HealthClient::new(transport);
    let answer = tokio::time::timeout(LATE, health.check(request)).await.ok()?;
    Some(readiness(answer.map(|response| response.into_inner().status()), &seen, rpcs))
}

/// The readiness that the answer to a health check shows, and what rpcs have been answered with.
fn readiness(answer: Result<ServingStatus, Status>, seen: &StatusTap, rpcs: Answered) -> State {
    let status = match answer {
        Ok(ServingStatus::Serving) => return State::Ready,
        Ok(status) => return State::NotReady(format!("health says {}", status.as_str_name())),
        Err(status) => status,
    };
    match (seen.status(), not_grpc(&status, seen)) {
        // What stands before a policy that is not there says so.
        (Some(Code::Unavailable), _) => {
            State::NotReady(format!("health says UNAVAILABLE: {}", cut(&seen.message(), LONGEST_CAUSE)))
        }
        (Some(_), _) => State::Ready,
        (None, Some(NotGrpc::NOT_FOUND)) => match rpcs {
            Answered::Grpc => State::Ready,
            Answered::Nothing => State::Presumed,
            Answered::NotFound => State::NotReady(NO_CONTRACT.to_owned()),
        },
        (None, Some(other)) => State::NotReady(other.to_string()),
        // It is of application/grpc, be it as odd as it likes.
        (None, None) if seen.response() && std::error::Error::source(&status).is_none() => State::Ready,
        (None, None) => State::NotReady(cause(&status)),
    }
}

/// The policy is ready while one of its addresses serves. Nothing while it depends on one that has not answered yet.
fn sum(endpoints: &[(config::Address, Health)]) -> Option<State> {
    if endpoints.iter().any(|(_, health)| *health == Health::Serving) {
        return Some(State::Ready);
    }
    if endpoints.iter().any(|(_, health)| *health == Health::Presumed) {
        return Some(State::Presumed);
    }
    let whys = endpoints.iter().map(|(address, health)| match health {
        Health::NotServing(why) if endpoints.len() == 1 => Some(why.clone()),
        Health::NotServing(why) => Some(format!("{address}: {why}")),
        Health::Serving | Health::Presumed | Health::Unknown => None,
    });
    Some(State::NotReady(whys.collect::<Option<Vec<_>>>()?.join("; ")))
}

/// Tells why no address is connected. Nothing where one is by now.
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
        Some(error) => Failure::new(Class::Unavailable, error).cause().to_owned(),
        None => cut(status.message(), LONGEST_CAUSE).into_owned(),
    }
}

impl State {
    /// Returns true if the policy is to be asked.
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
