//! What goes on all the time: the loops that pull, the one that drains the spill, and the one that looks at the streams.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;
use tracing::{error, warn};

use super::publish::Publisher;
use super::pull::Pulls;
use super::spill::Spilled;
use super::streams::{self, Names};
use super::{JetStream, LONG_PAUSE, PAUSE, arrive, record};
use crate::contract::Callback;

impl JetStream {
    /// Delivers the events of a partition, one after another.
    pub(super) async fn run_partition(self: Arc<Self>, partition: usize) {
        let Publisher { api, names, counters, .. } = &self.publisher;
        let consumer = Names::partition(partition);
        let mut pulls = Pulls::new(api.client.clone(), &names.events, &consumer, counters.restarted.clone());
        loop {
            let message = tokio::select! {
                message = pulls.next() => message,
                () = self.stopping.cancelled() => break,
            };
            self.deliver_head(message).await;
        }
        pulls.close().await;
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
        let (consumer, filter) = (Names::of_rpc(rpc), names.later(rpc, "*", "*"));
        while let Err(error) = streams::ensure_consumer(api, &names.later, &consumer, &filter, None).await {
            if self.stopping.is_cancelled() {
                return;
            }
            warn!(rpc, %error, "consumer of later events not made, trying again");
            sleep(PAUSE).await;
        }
        let most = (self.settings.concurrency / 2).max(1);
        let mut pulls = Pulls::new(api.client.clone(), &names.later, &consumer, counters.restarted.clone());
        let mut in_hand = FuturesUnordered::new();
        loop {
            let next = async {
                // While the rpc pauses, what waits stays where it is.
                if !pulls.is_open() {
                    self.pace.room(rpc).await;
                }
                pulls.next().await
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
                Some(record) => (self.local)(arrive::unordered(&record.entry)),
                None => error!(message_id = spilled.message_id, "event of the spill cannot be read"),
            }
        };
        tokio::select! {
            () = self.publisher.drain(unfit) => {}
            () = self.given_up.cancelled() => {}
        }
    }

    /// Looks at the streams now and then: how much they have, and which rpcs have later events.
    pub(super) async fn watch(self: Arc<Self>) {
        let Publisher { api, names, .. } = &self.publisher;
        while !self.stopping.is_cancelled() {
            if self.publisher.is_ready.load(Relaxed) {
                self.look().await;
                for consumer in streams::consumers(api, &names.later).await.unwrap_or_default() {
                    let of_rpc = Callback::all()
                        .iter()
                        .chain([Callback::fallback()])
                        .find(|callback| Names::of_rpc(callback.rpc) == consumer);
                    if let Some(callback) = of_rpc {
                        self.ensure_later(callback.rpc);
                    }
                }
            }
            tokio::select! {
                () = sleep(LONG_PAUSE) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }
}
