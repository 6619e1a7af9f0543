//! Whether the policy service is to be asked: it has answered something, and where it serves `grpc.health.v1`, says that
//! it serves. That a connection was made proves nothing.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tracing::{info, warn};

use super::answer;
use super::channel::{self, Channel};
use super::observe::Observed;
use crate::error::{Class, Failure};

/// Whether the policy service is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is.
    Ready,
    /// It is not, and why. For operators: there may be an address in it.
    NotReady(String),
}

/// The longest time without an answer.
const LATE: Duration = Duration::from_secs(2);

/// Asks at once, and then every so often, and whenever a connection has come or gone. Tells what has changed, and that
/// the policy is ready when it may be another one. Ends when nobody listens.
pub fn watch(channel: Channel, every: impl Fn() -> Duration + Send + 'static) -> watch::Receiver<State> {
    let (state, listener) = watch::channel(State::NotReady("not asked yet".to_owned()));
    tokio::spawn(async move {
        let mut turned_over = false;
        loop {
            // From before it is asked, so that nothing is missed.
            let turnover = channel.turned_over();
            let now = ask(&channel).await;
            state.send_if_modified(|before| {
                let modified = *before != now;
                if modified {
                    match &now {
                        State::Ready => info!("the policy is ready"),
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
    let late = || State::NotReady(format!("no answer to a health check within {LATE:?}"));
    let answer = match tokio::time::timeout(LATE, health.check(request)).await {
        Ok(answer) => answer.map(|response| response.into_inner().status()),
        Err(_) => return late(),
    };
    match (answer, seen.status()) {
        // There was no stream for it in all that time.
        (Err(status), _) if matches!(answer::cause(&status), Some(channel::Error::Late)) => late(),
        (Ok(ServingStatus::Serving), _) => State::Ready,
        (Ok(status), _) => State::NotReady(format!("health says {}", status.as_str_name())),
        // What stands before a policy that is not there says so.
        (Err(status), Some(Code::Unavailable)) => {
            State::NotReady(format!("health says UNAVAILABLE: {}", status.message()))
        }
        (Err(_), Some(_)) => State::Ready,
        (Err(status), None) => State::NotReady(cause(&status)),
    }
}

fn cause(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(error) => Failure::new(Class::Unavailable, error).cause().to_owned(),
        None => status.message().to_owned(),
    }
}

impl State {
    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::NotReady(why) => f.write_str(why),
        }
    }
}
