//! Questions and changes of people, while hookgate serves.

use serde::{Deserialize, Serialize};
use tracing::info;

use super::overlay::State as EventState;
use super::sqlite::{
    self, Count, Filter, Item, Replay, SqliteStore, State, Undelivered, Waiting, act, look, selected, states,
};
use super::{Events, first_number};

/// A failure of a question or a change.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// The events are in memory.
    #[error("this hookgate keeps After events in memory; with --data DIR they would be on disk and could be looked at")]
    NoDisk,
    /// No event with this ID.
    #[error("no event has the ID {0:?}: it has been delivered, or dropped, or never was")]
    Unknown(String),
    /// An event that is being delivered, or will be in a moment.
    #[error("the event {0:?} is on its way to the policy, or about to be; ask again when it has failed or ended")]
    OnItsWay(String),
    /// A request that selects no events.
    #[error("which events? Give an ID, a condition, or all")]
    Which,
    /// The cluster does not answer, or not as it should.
    #[error("the streams cannot be asked or changed: {0}")]
    Cluster(String),
    /// The disk does not do it.
    #[error("the outbox cannot be read or written: {0}")]
    Store(#[from] rusqlite::Error),
    /// A change that was not made.
    #[error("it was not done: the outbox cannot be written, as its log says, or hookgate is stopping")]
    Undone,
    /// hookgate is stopping.
    #[error("hookgate is stopping")]
    Stopping,
}

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The number of events.
    pub events: usize,
    /// The place where it ended: there may be more behind it that are selected. None if there are not.
    pub last: Option<i64>,
    /// The replay; none while hookgate does not serve.
    #[serde(default)]
    pub replay: Option<Replay>,
}

impl Changed {
    pub(super) const ONE: Self = Self { events: 1, last: None, replay: None };

    /// Returns a change of this many events, selected at these places. More may be selected behind them, if these are as
    /// many as a change takes.
    pub(super) fn of(events: usize, filter: &Filter, places: &[i64]) -> Self {
        let last = places.last().copied().filter(|_| places.len() >= filter.most_changed());
        Self { events, last, replay: None }
    }

    /// Returns the error of an unknown ID if the change was of one event and found none.
    fn known(self, filter: Filter) -> Result<Self, OperateError> {
        match filter.id {
            Some(id) if self.events == 0 => Err(OperateError::Unknown(id)),
            _ => Ok(self),
        }
    }
}

impl Filter {
    /// Refuses what selects everything without saying so.
    pub(super) fn check(&self) -> Result<(), OperateError> {
        let Self { id, rpc, reason, since, all, .. } = self;
        let said = id.is_some() || rpc.is_some() || reason.is_some() || since.is_some() || *all;
        if said { Ok(()) } else { Err(OperateError::Which) }
    }
}

/// Adds a count to those of its rpc, state and reason.
pub(super) fn count_one(counts: &mut Vec<Count>, one: Count) {
    let is_of = |count: &&mut Count| {
        (&count.target, &count.rpc, count.state, &count.reason) == (&one.target, &one.rpc, one.state, &one.reason)
    };
    match counts.iter_mut().find(is_of) {
        Some(count) => {
            (count.events, count.bytes) = (count.events + one.events, count.bytes + one.bytes);
            count.oldest = count.oldest.min(one.oldest);
        }
        None => counts.push(one),
    }
}

/// Returns the number of a replay that begins now.
pub(super) fn run() -> i64 {
    i64::try_from(first_number()).unwrap_or(i64::MAX)
}

impl Events {
    /// Counts the events by rpc, state and reason.
    pub(super) async fn counted_here(&self) -> Result<Vec<Count>, OperateError> {
        self.read(look::counts).await
    }

    /// Lists events without their content, some at a time.
    pub(super) async fn list_here(&self, filter: Filter) -> Result<Vec<Item>, OperateError> {
        self.read(move |connection| look::list(connection, &filter)).await
    }

    /// Counts events.
    pub(super) async fn count_here(&self, filter: Filter) -> Result<i64, OperateError> {
        self.read(move |connection| look::count(connection, &filter)).await
    }

    /// Returns an event with its content; without what belongs in no log, unless it is to be revealed.
    pub(super) async fn show_here(&self, id: String, reveal: bool) -> Result<Item, OperateError> {
        let unknown = OperateError::Unknown(id.clone());
        self.read(move |connection| look::show(connection, &id, reveal)).await?.ok_or(unknown)
    }

    /// Delivers dead letters again, some at a time, at once and outside of the order of their keys. An event that waits for its
    /// next attempt is due at once.
    pub(super) async fn replay_here(&self, filter: Filter) -> Result<Changed, OperateError> {
        filter.check()?;
        let (disk, run) = (self.disk()?, run());
        if let Some(found) = self.waiting(&filter).await? {
            let (number, tried) = (found.entry.number(), found.entry.progress.attempts);
            let marked = disk.act(move |connection, _| act::mark_replayed(connection, number, run), |_, _| ()).await;
            // Nobody can follow one that the file does not have.
            let replay = marked.unwrap_or(false).then_some(Replay { run, tried });
            let one = Changed { replay, ..Changed::ONE };
            // One that stands behind others goes when its turn comes.
            if self.0.replay_loaded(&found.entry) || disk.latest(found.clone()).state == EventState::Behind {
                return Ok(one);
            }
            self.0.replay_held(self.hold(&filter, found).await?.entry);
            return Ok(one);
        }
        let (filter, places) = self.selected(filter).await?;
        let (these, scheduler) = (places.clone(), self.0.clone());
        let counts = scheduler.clone();
        let replay = move |connection: &rusqlite::Connection, clock: &sqlite::Clock| {
            let replayed = act::replay(connection, &these, run, clock.now())?;
            // Before the commit: from then on they may be claimed.
            counts.count_replayed(&replayed, true);
            Ok(replayed)
        };
        let replayed = disk.act(replay, move |replayed, is_done| scheduler.end_replay(&replayed, is_done)).await;
        let events = replayed.ok_or(OperateError::Undone)?.iter().map(|of| of.events).sum();
        Changed { replay: Some(Replay { run, tried: 0 }), ..Changed::of(events, &filter, &places) }.known(filter)
    }

    /// Counts the events of a replay that are not delivered, without the last failures of their rpcs.
    pub(super) async fn undelivered_here(&self, replay: Replay) -> Result<Vec<Undelivered>, OperateError> {
        self.read(move |connection| look::undelivered(connection, replay)).await
    }

    /// Drops dead letters, some at a time. An event that waits is dropped by its ID.
    pub(super) async fn discard_here(&self, filter: Filter) -> Result<Changed, OperateError> {
        filter.check()?;
        let disk = self.disk()?;
        if let Some(found) = self.waiting(&filter).await? {
            let (rpc, event_id) = (found.entry.rpc(), found.entry.event_id().to_owned());
            if !self.0.drop_loaded(&found.entry) {
                self.0.drop_held(&self.hold(&filter, found).await?);
            }
            info!(rpc, event_id, "queued event dropped on request");
            return Ok(Changed::ONE);
        }
        let (filter, places) = self.selected(filter).await?;
        let these = places.clone();
        let dropped = disk.act(move |connection, _| act::drop_dead(connection, &these), |_, _| ()).await;
        Changed::of(dropped.ok_or(OperateError::Undone)?, &filter, &places).known(filter)
    }

    /// Holds an event that was found, so that nobody else changes it, and returns it as it is now.
    async fn hold(&self, filter: &Filter, found: Waiting) -> Result<Waiting, OperateError> {
        let (disk, number) = (self.disk()?, found.entry.number());
        let id = found.entry.event_id().to_owned();
        if !disk.try_hold(number) {
            return Err(OperateError::OnItsWay(id));
        }
        // It may have ended between the two.
        match self.waiting(filter).await {
            Ok(Some(again)) => Ok(disk.latest(again)),
            gone => {
                disk.give_back(number);
                gone.and(Err(OperateError::Unknown(id)))
            }
        }
    }

    /// Finds the places of dead letters. They are looked for apart from writing, as that may take a while.
    async fn selected(&self, filter: Filter) -> Result<(Filter, Vec<i64>), OperateError> {
        self.read(move |connection| selected(connection, &filter).map(|places| (filter, places))).await
    }

    /// Finds the event that waits and has this ID: in the file, or only in memory as the disk takes nothing.
    async fn waiting(&self, filter: &Filter) -> Result<Option<Waiting>, OperateError> {
        let Some(id) = &filter.id else { return Ok(None) };
        let disk = self.disk()?;
        let (clock, selects) = (disk.clock(), filter.clone());
        let in_file = self.read(move |connection| act::waiting(connection, &selects, &clock)).await?;
        let may_wait = states(filter).any(|state| state == State::Waiting);
        let is_selected = |waiting: &Waiting| filter.rpc.as_deref().is_none_or(|rpc| rpc == waiting.entry.rpc());
        Ok(in_file.or_else(|| disk.unwritten(id).filter(|waiting| may_wait && is_selected(waiting))))
    }

    pub(super) fn disk(&self) -> Result<&SqliteStore, OperateError> {
        self.0.disk.as_ref().ok_or(OperateError::NoDisk)
    }

    /// Reads the file apart from whoever writes.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, OperateError> {
        Ok(self.disk()?.read(read).await.ok_or(OperateError::Stopping)??)
    }
}
