//! Questions and changes of people, of the cluster and of this machine at once.
//!
//! With a cluster this machine has what that cannot take: events over `max_payload`, and their dead letters. Their places come
//! behind all places of the cluster.

use std::path::Path;

use super::Events;
use super::admin::{Changed, OperateError, count_one, run};
use super::jetstream::{ApiError, ClusterError, Done, JetStream, Page};
use super::sqlite::{Count, Filter, Item, OpenError, Replay, Undelivered};
use crate::config;
use crate::observe::decisions::Decisions;
use crate::policy::{Policy, Transport};

/// The places of this machine begin here.
const HERE: i64 = 1 << 60;

/// A store of events that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store on disk.
    #[error(transparent)]
    Disk(#[from] OpenError),
    /// The store on a cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// Returns the failure of a question to the cluster, with what waits for it here.
fn failed(cluster: &JetStream, error: &ApiError) -> OperateError {
    match cluster.cluster().spill.events {
        0 => OperateError::Cluster(error.to_string()),
        events => OperateError::Cluster(format!("{error}; {events} events wait for it in the spill of this copy")),
    }
}

impl Events {
    /// Delivers to `policy`, with the events on the cluster of `after.store`, which other hookgates share. `data` is where they
    /// wait while the cluster takes none, and `largest_message` about how large one can be. Must be used within a Tokio
    /// runtime.
    pub async fn on_cluster<T: Transport>(
        policy: Policy<T>,
        settings: &config::After,
        decisions: Decisions,
        data: Option<&Path>,
        largest_message: usize,
    ) -> Result<Self, StartError>
    where
        Policy<T>: Clone,
    {
        let here = match data {
            Some(directory) => Self::on_disk(policy.clone(), settings, decisions.clone(), directory)?,
            None => Self::in_memory(policy.clone(), settings, decisions.clone()),
        };
        let local = here.clone();
        let deliver_here = move |event| {
            let local = local.clone();
            tokio::spawn(async move { local.deliver(event).await });
        };
        let cluster = JetStream::start(policy, settings, decisions, (data, largest_message), deliver_here).await?;
        Ok(Self(here.0, Some(cluster)))
    }

    /// Counts the events by rpc, state and reason.
    pub async fn counted(&self) -> Result<Vec<Count>, OperateError> {
        let Some(cluster) = &self.1 else { return self.counted_here().await };
        let mut counts = cluster.counted().await.map_err(|error| failed(cluster, &error))?;
        let here = if self.disk().is_ok() { self.counted_here().await? } else { Vec::new() };
        here.into_iter().for_each(|of| count_one(&mut counts, of));
        Ok(counts)
    }

    /// Lists events without their content, some at a time.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Item>, OperateError> {
        let Some(cluster) = &self.1 else { return self.list_here(filter).await };
        let is_behind = filter.after.is_some_and(|after| after >= HERE);
        let Page { mut items, is_cut } = if is_behind {
            Page::default()
        } else {
            cluster.list(&filter).await.map_err(|error| failed(cluster, &error))?
        };
        let most = filter.most_listed();
        if items.len() < most && !is_cut && self.disk().is_ok() {
            let limit = Some(most - items.len());
            let here = self.list_here(Filter { limit, ..on_this_machine(filter) }).await?;
            items.extend(here.into_iter().map(|item| Item { place: item.place.saturating_add(HERE), ..item }));
        }
        Ok(items)
    }

    /// Counts events.
    pub async fn count(&self, filter: Filter) -> Result<i64, OperateError> {
        let Some(cluster) = &self.1 else { return self.count_here(filter).await };
        let here = if self.disk().is_ok() { self.count_here(filter.clone()).await? } else { 0 };
        Ok(cluster.count(&filter).await.map_err(|error| failed(cluster, &error))? + here)
    }

    /// Returns an event with its content; without what belongs in no log, unless it is to be revealed.
    pub async fn show(&self, id: String, reveal: bool) -> Result<Item, OperateError> {
        let Some(cluster) = &self.1 else { return self.show_here(id, reveal).await };
        match cluster.show(&id, reveal).await.map_err(|error| failed(cluster, &error))? {
            Some(item) => Ok(item),
            None if self.disk().is_ok() => self.show_here(id, reveal).await,
            None => Err(OperateError::Unknown(id)),
        }
    }

    /// Delivers dead letters again, some at a time, at once and outside of the order of their keys. An event that waits for its
    /// next attempt is due at once.
    pub async fn replay(&self, filter: Filter) -> Result<Changed, OperateError> {
        let Some(cluster) = &self.1 else { return self.replay_here(filter).await };
        filter.check()?;
        if filter.after.is_some_and(|after| after >= HERE) {
            return self.replay_here(on_this_machine(filter)).await.map(behind);
        }
        let run = run();
        let done = cluster.replay(&filter, run).await.map_err(|error| failed(cluster, &error))?;
        match self.changed(done, &filter)? {
            Some(changed) => Ok(Changed { replay: Some(Replay { run, tried: 0 }), ..changed }),
            None => self.replay_here(filter).await,
        }
    }

    /// Counts the events of a replay that are not delivered.
    pub async fn undelivered(&self, replay: Replay) -> Result<Vec<Undelivered>, OperateError> {
        let mut undelivered = match &self.1 {
            Some(cluster) => cluster.undelivered(replay.run).await.map_err(|error| failed(cluster, &error))?,
            None => Vec::new(),
        };
        if self.1.is_none() || self.disk().is_ok() {
            undelivered.extend(self.undelivered_here(replay).await?);
        }
        let failures = self.failures(true);
        undelivered.iter_mut().for_each(|of| of.last_failure = failures.get(&*of.rpc).cloned());
        Ok(undelivered)
    }

    /// Drops dead letters, some at a time. An event that waits is dropped by its ID.
    pub async fn discard(&self, filter: Filter) -> Result<Changed, OperateError> {
        let Some(cluster) = &self.1 else { return self.discard_here(filter).await };
        filter.check()?;
        if filter.after.is_some_and(|after| after >= HERE) {
            return self.discard_here(on_this_machine(filter)).await.map(behind);
        }
        let done = cluster.discard(&filter).await.map_err(|error| failed(cluster, &error))?;
        match self.changed(done, &filter)? {
            Some(changed) => Ok(changed),
            None => self.discard_here(filter).await,
        }
    }

    /// Returns the result of a change on the cluster. None if the event may be on this machine.
    fn changed(&self, done: Done, filter: &Filter) -> Result<Option<Changed>, OperateError> {
        let id = filter.id.clone().unwrap_or_default();
        match done {
            Done::OnItsWay => Err(OperateError::OnItsWay(id)),
            Done::Unknown if self.disk().is_ok() => Ok(None),
            Done::Unknown => Err(OperateError::Unknown(id)),
            Done::Changed { events, last } => {
                // Those of this machine come next.
                let here = (last.is_none() && filter.id.is_none() && self.disk().is_ok()).then_some(HERE);
                Ok(Some(Changed { events, last: last.or(here), ..Changed::ONE }))
            }
        }
    }
}

/// Returns a filter with its place on this machine.
fn on_this_machine(filter: Filter) -> Filter {
    let after = filter.after.map(|after| after.saturating_sub(HERE)).filter(|after| *after > 0);
    Filter { after, ..filter }
}

/// Returns a change on this machine with its place behind those of the cluster.
fn behind(changed: Changed) -> Changed {
    Changed { last: changed.last.map(|last| last.saturating_add(HERE)), ..changed }
}
