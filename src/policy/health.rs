//! Readiness of the policy service: it has answered something in gRPC, and where it serves `grpc.health.v1`, says that it
//! serves. That a connection was made proves nothing.
//!
//! HTTP routers, which some gRPC servers are built on, answer 404 for a service that is not registered, health too. So a
//! 404 to health alone is taken as ready, until rpcs are answered: one answer in gRPC proves it; where every rpc was
//! answered with 404 as well, nothing there speaks the contract.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tracing::{info, warn};

use super::channel::{self, Channel};
use super::observe::{self, NotGrpc, Observed, Seen, not_grpc};
use super::rpcs::Answered;
use crate::error::{Class, Failure, LONGEST_CAUSE, cut};

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

/// Asks at once, and then every so often, and whenever a connection has come or gone. Tells what has changed, and that
/// the policy is ready when it may be another one. Ends when nobody listens.
pub fn watch(channel: Channel, every: impl Fn() -> Duration + Send + 'static) -> watch::Receiver<State> {
    let (state, listener) = watch::channel(State::NotReady("not asked yet".to_owned()));
    tokio::spawn(async move {
        let mut turned_over = false;
        loop {
            // From before it is asked, so that nothing is missed.
            let turnover = channel.turned_over();
            if turned_over {
                channel.rpcs().forget();
            }
            let now = ask(&channel).await;
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
                modified || (turned_over && before.is_ready())
            });
            turned_over = tokio::select! {
                () = tokio::time::sleep(every()) => false,
                () = turnover => true,
                () = state.closed() => return,
            };
        }
    });
    listener
}

async fn ask(channel: &Channel) -> State {
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.set_timeout(LATE);
    let (transport, seen) = Observed::new(channel.clone());
    let mut health = HealthClient::new(transport);
    let answer = match tokio::time::timeout(LATE, health.check(request)).await {
        Ok(answer) => answer.map(|response| response.into_inner().status()),
        Err(_) => return late(),
    };
    readiness(answer, &seen, channel.rpcs().answered())
}

/// The readiness that the answer to a health check shows, and what rpcs have been answered with.
fn readiness(answer: Result<ServingStatus, Status>, seen: &Seen, rpcs: Answered) -> State {
    let status = match answer {
        Ok(ServingStatus::Serving) => return State::Ready,
        Ok(status) => return State::NotReady(format!("health says {}", status.as_str_name())),
        Err(status) => status,
    };
    match (seen.status(), not_grpc(&status, seen)) {
        // There was no stream for it in all that time.
        _ if matches!(observe::cause(&status), Some(channel::Error::Late)) => late(),
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

fn late() -> State {
    State::NotReady(format!("no answer to a health check within {LATE:?}"))
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
