//! The loops of a copy: those that pull, the one that drains the spill, and the one that looks at the streams.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::names::Names;
use super::publish::Publisher;
use super::pull::Pulls;
use super::record::by_method;
use super::spill::Spilled;
use super::streams::{self, Unmade};
use super::{JetStream, LONG_PAUSE, PAUSE, arrive, record};
use crate::outbox::limiter::LOG_INTERVAL;

/// Maximum time between two looks at the policy.
const LOOK: Duration = Duration::from_millis(100);

impl JetStream {
    /// Delivers the events of a partition, one after another.
    pub(super) async fn run_partition(self: Arc<Self>, partition: usize) {
        let Publisher { api, names, counters, .. } = &self.publisher;
        let consumer = Names::partition(partition);
        let mut pulls = Pulls::new(api.client.clone(), &names.events, &consumer, counters.restarted.clone());
        loop {
            let next = async {
                if !pulls.is_open() {
                    self.policy_may_serve().await;
                }
                pulls.next().await
            };
            let message = tokio::select! {
                message = next => message,
                () = self.stopping.cancelled() => break,
            };
            match message {
                Some(message) => self.deliver_head(message).await,
                None => self.make_streams_again().await,
            }
        }
        pulls.close().await;
    }

    /// Waits until a connection of the policy can serve: meanwhile other copies deliver, whose policy is there.
    async fn policy_may_serve(&self) {
        while !(self.may_policy_serve)() {
            self.pace.due(Instant::now() + LOOK).await;
        }
    }

    /// Makes the streams and consumers that are gone. What is wrong with them stands in `/status`.
    async fn make_streams_again(&self) {
        // One loop at a time; the others find what it has made.
        let made = &mut *self.making.lock().await;
        if self.stopping.is_cancelled() || made.is_some_and(|at: Instant| at.elapsed() < LONG_PAUSE) {
            return;
        }
        let Publisher { api, names, .. } = &self.publisher;
        let made_again = streams::ensure(api, names, &self.pace.settings, &self.policy_url).await;
        let problem = made_again.err().map(Unmade::problem);
        if let Some(problem) = &problem {
            self.problem_log.log(LOG_INTERVAL, |unlogged| {
                warn!(cause = problem, unlogged, "streams of NATS not as they should be, trying again");
            });
        }
        self.seen().problem = problem;
        *made = Some(Instant::now());
    }

    /// Makes the consumer of an rpc's later events before the first of them is moved there.
    pub(super) async fn make_later(self: &Arc<Self>, rpc: &'static str) {
        let is_known = self.later.lock().unwrap_or_else(PoisonError::into_inner).contains(rpc);
        if !is_known {
            // The loop tries again.
            self.ensure_later_consumer(rpc).await;
            self.ensure_later(rpc);
        }
    }

    /// Makes the consumer of an rpc's later events, if it is not there. Returns false if it cannot be made now.
    async fn ensure_later_consumer(&self, rpc: &'static str) -> bool {
        let Publisher { api, names, .. } = &self.publisher;
        let (consumer, filter) = (Names::of_rpc(rpc), names.later(rpc, "*", "*"));
        let made = streams::ensure_consumer(api, &names.later, &consumer, &filter, -1).await;
        if let Err(error) = &made {
            self.later_log.log(LOG_INTERVAL, |unlogged| {
                warn!(rpc, %error, unlogged, "consumer of later events not made, trying again");
            });
        }
        made.is_ok()
    }

    /// Has the later events of an rpc delivered from now on.
    pub(super) fn ensure_later(self: &Arc<Self>, rpc: &'static str) {
        let is_new = self.later.lock().unwrap_or_else(PoisonError::into_inner).insert(rpc);
        if is_new && !self.stopping.is_cancelled() {
            let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
            loops.spawn_on(self.clone().run_later(rpc), &self.runtime);
        }
    }

    /// Delivers the later events of an rpc, some at a time.
    async fn run_later(self: Arc<Self>, rpc: &'static str) {
        let Publisher { api, names, counters, .. } = &self.publisher;
        while !self.ensure_later_consumer(rpc).await {
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.stopping.cancelled() => return,
            }
        }
        let most = (self.pace.settings.concurrency / 2).max(1);
        let mut pulls = Pulls::new(api.client.clone(), &names.later, &Names::of_rpc(rpc), counters.restarted.clone());
        let mut in_hand = FuturesUnordered::new();
        loop {
            let next = async {
                // While the rpc pauses, what waits stays where it is.
                if !pulls.is_open() {
                    self.policy_may_serve().await;
                    self.pace.room(rpc).await;
                }
                loop {
                    if let Some(message) = pulls.next().await {
                        return message;
                    }
                    self.ensure_later_consumer(rpc).await;
                }
            };
            tokio::select! {
                () = self.stopping.cancelled() => break,
                Some(()) = in_hand.next(), if !in_hand.is_empty() => {}
                message = next, if in_hand.len() < most => in_hand.push(self.deliver_later(message)),
            }
        }
        while in_hand.next().await.is_some() {}
        pulls.close().await;
    }

    /// Publishes what is in the spill.
    pub(super) async fn drain(self: Arc<Self>) {
        let unfit = |spilled: &Spilled| {
            let record = record::Record::read(&spilled.header, spilled.payload.clone(), 0, &self.publisher.clock);
            match record {
                Some(record) if record.end.is_some() => {
                    let event_id = record.entry.event_id();
                    error!(event_id, "dead letter is larger than NATS takes, dropped");
                }
                Some(record) => (self.local)(arrive::unordered(&record.entry)),
                None => error!(message_id = spilled.message_id, "event of the spill cannot be read"),
            }
        };
        let later = |method: &str| {
            if let Some(callback) = by_method(method) {
                self.ensure_later(callback.rpc);
            }
        };
        tokio::select! {
            () = self.publisher.drain(unfit, later) => {}
            () = self.given_up.cancelled() => {}
        }
    }

    /// Looks at the streams now and then: how much they have, and which rpcs have later events.
    pub(super) async fn watch(self: Arc<Self>) {
        let Publisher { api, names, .. } = &self.publisher;
        let mut are_rpcs_known = false;
        while !self.stopping.is_cancelled() {
            if self.publisher.is_ready.load(Relaxed) {
                let is_whole = self.look().await;
                // What was wrong may be over by now.
                if !is_whole || self.seen().problem.is_some() {
                    self.make_streams_again().await;
                }
                self.compare_clocks().await;
                if !are_rpcs_known {
                    // One whose copy died may have left its rpc without a consumer.
                    let mut rpcs = HashSet::new();
                    let all = names.later("*", "*", "*");
                    let found = self.subjects(&names.later, &all, |subject, _| {
                        rpcs.extend(subject.split('.').nth(2).and_then(by_method).map(|callback| callback.rpc));
                    });
                    are_rpcs_known = found.await.is_ok();
                    rpcs.into_iter().for_each(|rpc| self.ensure_later(rpc));
                }
                let consumers = streams::consumers(api, &names.later).await.unwrap_or_default();
                let rpcs = consumers.iter().filter_map(|consumer| Names::rpc_of(consumer));
                rpcs.for_each(|rpc| self.ensure_later(rpc));
            }
            tokio::select! {
                () = sleep(LONG_PAUSE) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }
}
