//! The store on NATS JetStream: the events of several hookgates (*copies*), on a cluster that replicates them.
//!
//! JetStream does the distributed work. An event that has a key is published to its partition, and only then is its webhook
//! answered; whichever copy pulls from the partition delivers it. A partition gives one event at a time, to one copy, and
//! the next one when that is acked. The copy confirms each second that it still has it; if nobody hears of it for `ack_wait`
//! JetStream gives it to another copy. So events of a key are delivered in the order of their publishing, at least once,
//! one at a time. Around a change of leader, or when a copy was frozen for longer than `ack_wait`, two copies may have one event.
//!
//! More than one event of a partition at a time would let two copies have events of one key. One at a time has the price that
//! an event that fails holds up other keys of its partition; `after.hold` bounds that (`pace`). What is parked then, and what
//! has no order and could not be delivered at once, are *later* events: in a stream with a consumer for each rpc, any number
//! of them waiting for their time, which stands in their header.
//!
//! An event moves by being published to its next place, and acked in the one before only after that is confirmed. A crash
//! between the two leaves it in both: never in none.
//!
//! - `connect`: the connection; `api`: questions and publishes, each with its end; `streams`: what is made, `check`: what is found;
//!   `names`: what they are called.
//! - `record`: an event as a message.
//! - `publish`: into a stream, or into the spill while they take none; `spill`, `spill_batch`, `spill_file`: events that wait to be published.
//! - `loops`: what goes on all the time. `tell`: what copies tell each other.
//! - `pull`: messages of a consumer; `ack`: an event in hand; `deliver`: from there to its end; `transfer`: where it goes; `pace`: when, and what a
//!   failure leads to; `arrive`: from the webhook to the store.
//! - `look`, `count`, `look_spill`, `act`: what people ask and do; `status`: what can be read of all this. `stop`: the end.
//!
//! Failure: while JetStream takes no event they are in the spill, and what was published waits. A copy that is cut off gives
//! up its calls within half of `ack_wait`. A pull that has gone silent is made again.

mod ack;
mod act;
mod api;
mod arrive;
mod check;
mod connect;
mod count;
mod deliver;
mod look;
mod look_spill;
mod loops;
mod names;
mod pace;
mod publish;
mod pull;
mod record;
mod spill;
mod spill_batch;
mod spill_file;
mod status;
mod stop;
mod streams;
mod tell;
mod transfer;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::attempt::{Ask, asking};
use super::limiter::LOG_INTERVAL;
use super::sqlite::Clock;
use crate::config;
use crate::observe::decisions::Decisions;
use crate::observe::log_limit::LogLimit;
use crate::policy::{Policy, Transport};
pub(super) use act::Done;
use api::Api;
pub(super) use api::ApiError;
use connect::connect;
pub(super) use look::{Page, SPILL};
pub(super) use look_spill::{drop_offline, has_offline, list_offline, show_offline};
use names::Names;
use pace::Pace;
use publish::Publisher;
use spill::Spill;
pub(crate) use status::Cluster;
use status::Seen;
pub(crate) use streams::Held;
use streams::Unmade;

/// Maximum time that a start waits for the cluster. Then hookgate serves without it, and goes on trying.
const START: Duration = Duration::from_secs(5);

/// Pause between two attempts to make the streams.
const PAUSE: Duration = Duration::from_millis(500);

/// Pause between two attempts to make the streams, once hookgate serves.
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// A start that fails: the setting that is wrong, and a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
pub struct ClusterError(pub &'static str, pub String);

/// The events of a cluster, as one copy delivers them.
pub(super) struct JetStream {
    publisher: Publisher,
    pace: Pace,
    ask: Box<Ask>,
    /// Returns true if the policy is known to be ready, by its health.
    is_policy_ready: Box<dyn Fn() -> bool + Send + Sync>,
    /// Returns false if no connection of the policy can serve.
    may_policy_serve: Box<dyn Fn() -> bool + Send + Sync>,
    policy_url: String,
    decisions: Decisions,
    runtime: Handle,
    /// Cancelled when nothing more is begun.
    stopping: CancellationToken,
    /// Cancelled when what is in flight is given up.
    given_up: CancellationToken,
    /// The loops that pull.
    loops: Mutex<JoinSet<()>>,
    /// The tasks of events that arrived, behind their replies too.
    arriving: TaskTracker,
    /// The time when streams were last made again; held by the loop that does.
    making: tokio::sync::Mutex<Option<Instant>>,
    problem_log: LogLimit,
    later_log: LogLimit,
    unread_log: LogLimit,
    clock_log: LogLimit,
    /// The rpcs that have a loop for their later events.
    later: Mutex<HashSet<&'static str>>,
    seen: Mutex<Seen>,
    /// `limits.body`: how large an event can be, about.
    largest_message: usize,
    /// Takes an event that JetStream cannot take.
    local: Box<dyn Fn(super::Event) + Send + Sync>,
}

impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStream").field("publisher", &self.publisher).finish_non_exhaustive()
    }
}

impl JetStream {
    /// Connects, makes or checks the streams, and begins to deliver. If the cluster cannot be reached now it begins without it.
    /// `local` takes an event that the cluster cannot take.
    pub(super) async fn start<T: Transport>(
        policy: Policy<T>,
        settings: &config::After,
        decisions: Decisions,
        (data, largest_message): (Option<&Path>, usize),
        local: impl Fn(super::Event) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, ClusterError> {
        let until = Instant::now() + START;
        let client = match connect(settings, false).await {
            Err(Unmade::NotNow(what)) => {
                warn!(error = what, "NATS cannot be reached");
                connect(settings, true).await
            }
            connected => connected,
        };
        let client = client.map_err(mistake)?;
        let bounds = (settings.events, settings.bytes);
        let spill = match data {
            Some(directory) => Spill::on_disk(directory, bounds).map_err(|what| ClusterError("data", what))?,
            None => Spill::in_memory(bounds),
        };
        let (names, clock) = (Names::new(&settings.nats.name), Clock::start(0));
        let publisher = Publisher::new(Api { client }, names, clock, settings.nats.partitions, spill);
        let policy = Arc::new(policy);
        let policy_url = policy.url().unwrap_or_default();
        let (asked, reached) = (policy.clone(), policy.clone());
        let this = Arc::new(Self {
            publisher,
            pace: Pace::new(settings.clone()),
            is_policy_ready: Box::new(move || asked.is_ready()),
            may_policy_serve: Box::new(move || reached.may_serve()),
            policy_url,
            ask: asking(policy),
            decisions,
            runtime: Handle::current(),
            stopping: CancellationToken::new(),
            given_up: CancellationToken::new(),
            loops: Mutex::default(),
            arriving: TaskTracker::new(),
            making: tokio::sync::Mutex::default(),
            problem_log: LogLimit::default(),
            later_log: LogLimit::default(),
            unread_log: LogLimit::default(),
            clock_log: LogLimit::default(),
            later: Mutex::default(),
            seen: Mutex::default(),
            largest_message,
            local: Box::new(local),
        });
        loop {
            match this.make_streams().await {
                Ok(()) => break,
                Err(Unmade::NotNow(what)) if Instant::now() < until => {
                    info!(cause = what, "waiting for NATS JetStream");
                    sleep(PAUSE).await;
                }
                Err(Unmade::NotNow(what)) => {
                    warn!(cause = what, "NATS JetStream is not there, serving without it and keeping events here");
                    this.seen().problem = Some(what);
                    this.runtime.spawn(this.clone().make_streams_later());
                    break;
                }
                Err(unmade) => return Err(mistake(unmade)),
            }
        }
        this.runtime.spawn(this.clone().drain());
        this.runtime.spawn(this.clone().watch());
        this.runtime.spawn(this.clone().listen());
        Ok(this)
    }

    /// Makes or checks the streams once, and begins to deliver.
    async fn make_streams(self: &Arc<Self>) -> Result<(), Unmade> {
        let Publisher { api, names, .. } = &self.publisher;
        let warnings = streams::ensure(api, names, &self.pace.settings, &self.policy_url).await?;
        for warning in warnings {
            warn!(cause = warning, "stream differs from the configuration");
        }
        self.seen().problem = None;
        self.publisher.begin();
        self.log_promise();
        self.compare_clocks().await;
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in 0..self.pace.settings.nats.partitions {
            loops.spawn_on(self.clone().run_partition(partition), &self.runtime);
        }
        Ok(())
    }

    async fn make_streams_later(self: Arc<Self>) {
        while !self.stopping.is_cancelled() {
            sleep(LONG_PAUSE).await;
            let Err(unmade) = self.make_streams().await else { return };
            if let Unmade::Mistake(setting, what) = &unmade {
                self.problem_log.log(LOG_INTERVAL, |unlogged| {
                    let cause = what;
                    error!(
                        setting,
                        cause, unlogged, "NATS JetStream cannot be used as configured, keeping events here"
                    );
                });
            }
            self.seen().problem = Some(unmade.problem());
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mistake(unmade: Unmade) -> ClusterError {
    match unmade {
        Unmade::Mistake(setting, what) => ClusterError(setting, what),
        Unmade::NotNow(what) => ClusterError("after.store", what),
    }
}
