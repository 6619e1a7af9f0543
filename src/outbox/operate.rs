//! What people ask of the events on disk and do with them while hookgate serves.

use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::info;

use super::Events;
use super::outbox::Shelf;
use super::queue::{Phase, Queue};
use super::store::act::{self, Replayed};
use super::store::look::{self, Count, Item, Numbers, Undelivered};
use super::store::meant::{AT_A_TIME, Filter, meant};
use super::store::{Acted, Clock, News, Next, Op, Standing, Store};
use crate::contract::Callback;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// The events are in memory.
    #[error("this hookgate keeps After events in memory; with --data DIR they would be on disk and could be looked at")]
    NoDisk,
    /// There is no such event.
    #[error("no event has the ID {0:?}: it has been delivered, or dropped, or never was")]
    Unknown(String),
    /// It is being delivered, or will be in a moment.
    #[error("the event {0:?} is on its way to the policy, or about to be; ask again when it has failed or ended")]
    OnItsWay(String),
    /// Nothing says which events are meant.
    #[error("which events? Give an ID, a condition, or all")]
    Which,
    /// The disk does not do it.
    #[error("the outbox cannot be read or written: {0}")]
    Store(#[from] rusqlite::Error),
    /// It has not been done.
    #[error("it was not done: the outbox cannot be written, as its log says, or hookgate is stopping")]
    Undone,
    /// hookgate is stopping.
    #[error("hookgate is stopping")]
    Stopping,
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// How many events.
    pub events: usize,
    /// Where it ended: there may be more behind it that are meant. None where there are not.
    pub last: Option<i64>,
    /// The numbers of those that are replayed; none while hookgate does not serve.
    #[serde(default)]
    pub numbers: Option<Numbers>,
}

impl Changed {
    pub(super) const ONE: Self = Self { events: 1, last: None, numbers: None };

    /// Of those that are meant, which are in these places; there are more if these are as many as there may be.
    pub(super) fn of(events: usize, filter: &Filter, places: &[i64]) -> Self {
        let most = filter.limit.unwrap_or(usize::MAX).min(AT_A_TIME);
        Self { events, last: places.last().copied().filter(|_| places.len() >= most), numbers: None }
    }

    /// Nothing of one that was asked for by its ID means that there is no such event.
    fn known(self, filter: Filter) -> Result<Self, OperateError> {
        match filter.id {
            Some(id) if self.events == 0 => Err(OperateError::Unknown(id)),
            _ => Ok(self),
        }
    }
}

impl Filter {
    /// Refuses what means everything without saying so.
    pub(super) fn meant(&self) -> Result<(), OperateError> {
        let Self { id, rpc, reason, since, all, .. } = self;
        let said = id.is_some() || rpc.is_some() || reason.is_some() || since.is_some() || *all;
        if said { Ok(()) } else { Err(OperateError::Which) }
    }
}

impl Events {
    /// How many events there are, by rpc, state and reason.
    pub async fn counted(&self) -> Result<Vec<Count>, OperateError> {
        self.read(look::counts).await
    }

    /// The events that are meant, without their content.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Item>, OperateError> {
        self.read(move |connection| look::list(connection, &filter)).await
    }

    /// How many events are meant.
    pub async fn count(&self, filter: Filter) -> Result<i64, OperateError> {
        self.read(move |connection| look::count(connection, &filter)).await
    }

    /// An event with its content; without what belongs in no log, unless it is to be revealed.
    pub async fn show(&self, id: String, reveal: bool) -> Result<Item, OperateError> {
        let unknown = OperateError::Unknown(id.clone());
        self.read(move |connection| look::show(connection, &id, reveal)).await?.ok_or(unknown)
    }

    /// Lets events that ended go the way of those that arrive, some at a time. One that waits for its next attempt is due
    /// at once.
    pub async fn replay(&self, filter: Filter) -> Result<Changed, OperateError> {
        filter.meant()?;
        if let Some((number, rpc, _)) = self.waiting(&filter).await? {
            let (queue, id) = (&self.0, filter.id.unwrap_or_default());
            let store = queue.store.as_ref().ok_or(OperateError::NoDisk)?;
            queue.replay_waiting(store, number, rpc).ok_or(OperateError::OnItsWay(id))?.done().await?;
            return Ok(Changed::ONE);
        }
        let (filter, places) = self.meant(filter).await?;
        let count = places.len() as u64;
        let first = self.0.lock().outbox.numbers(count);
        let these = places.clone();
        let replayed = self
            .act(first + count, move |connection, clock| {
                let replayed = act::replay(connection, &these, first, clock.now())?;
                let events = replayed.iter().map(|of| of.events).sum();
                let news = replayed.into_iter().filter_map(|Replayed { rpc, events, bytes, behind }| {
                    Callback::by_rpc(&rpc).map(|callback| News::Replayed { rpc: callback.rpc, events, bytes, behind })
                });
                Ok((events, news.collect()))
            })
            .await?;
        let [from, to] = [first, first + count].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        let numbers = Some(Numbers { from, to, tried: 0 });
        Changed { numbers, ..Changed::of(replayed, &filter, &places) }.known(filter)
    }

    /// Counts those of the replayed events that are not delivered.
    pub async fn undelivered(&self, numbers: Numbers) -> Result<Vec<Undelivered>, OperateError> {
        let mut undelivered = self.read(move |connection| look::undelivered(connection, numbers)).await?;
        let mut failures = self.failures(true);
        for of in &mut undelivered {
            of.last_failure = failures.remove(&*of.rpc);
        }
        Ok(undelivered)
    }

    /// Drops events that ended, some at a time. One that waits is dropped by its ID.
    pub async fn discard(&self, filter: Filter) -> Result<Changed, OperateError> {
        filter.meant()?;
        if let Some((number, rpc, bytes)) = self.waiting(&filter).await? {
            let (queue, id) = (&self.0, filter.id.unwrap_or_default());
            let store = queue.store.as_ref().ok_or(OperateError::NoDisk)?;
            let asked = queue.drop_waiting(store, number, rpc, bytes);
            let dropped = asked.ok_or_else(|| OperateError::OnItsWay(id.clone()))?.done().await?;
            if dropped {
                info!(rpc, event_id = id, "queued event dropped on request");
            }
            return dropped.then_some(Changed::ONE).ok_or(OperateError::Unknown(id));
        }
        let (filter, places) = self.meant(filter).await?;
        let these = places.clone();
        let dropped = self.act(0, move |connection, _| Ok((act::drop_dead(connection, &these)?, Vec::new()))).await?;
        Changed::of(dropped, &filter, &places).known(filter)
    }

    /// Where those are that ended and are meant. They are looked for apart from writing, as that may take a while.
    async fn meant(&self, filter: Filter) -> Result<(Filter, Vec<i64>), OperateError> {
        self.read(move |connection| meant(connection, &filter).map(|places| (filter, places))).await
    }

    /// The event that waits and has this ID.
    async fn waiting(&self, filter: &Filter) -> Result<Option<(u64, &'static str, usize)>, OperateError> {
        if filter.id.is_none() {
            return Ok(None);
        }
        let filter = filter.clone();
        let found = self.read(move |connection| act::waiting(connection, &filter)).await?;
        Ok(found.and_then(|(number, rpc, bytes)| Some((number, Callback::by_rpc(&rpc)?.rpc, bytes))))
    }

    /// Asks on a connection of its own: whoever writes is not kept waiting.
    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, OperateError> {
        let file = self.0.store.as_ref().ok_or(OperateError::NoDisk)?.file().to_owned();
        let asked = spawn_blocking(move || {
            let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            ask(&connection)
        });
        Ok(asked.await.map_err(|_| OperateError::Stopping)??)
    }

    /// Changes what is kept, in the order of all other changes, and gives numbers up to this one to events.
    async fn act<T: Send + 'static>(
        &self,
        number: u64,
        act: impl FnOnce(&Connection, &Clock) -> rusqlite::Result<(T, Vec<News>)> + Send + 'static,
    ) -> Result<T, OperateError> {
        let store = self.0.store.as_ref().ok_or(OperateError::NoDisk)?;
        asked(store, number, act).done().await
    }
}

/// What a change came to, once it is committed.
struct Asked<T>(oneshot::Receiver<T>);

impl<T> Asked<T> {
    async fn done(self) -> Result<T, OperateError> {
        self.0.await.map_err(|_| OperateError::Undone)
    }
}

/// Asks for a change, which is done in the order of all others.
fn asked<T: Send + 'static>(
    store: &Store,
    number: u64,
    act: impl FnOnce(&Connection, &Clock) -> rusqlite::Result<(T, Vec<News>)> + Send + 'static,
) -> Asked<T> {
    let (tell, told) = oneshot::channel();
    store.send(Op::Act(Box::new(move |connection, clock| {
        let (done, news) = act(connection, clock)?;
        let tell = Box::new(move || {
            // Whoever asked may have given up.
            let _ = tell.send(done);
        });
        Ok(Acted { news, number, tell })
    })));
    Asked(told)
}

impl Queue {
    /// Counts what was there at the start.
    pub(super) fn find(self: &Arc<Self>, standing: Vec<Standing>, number: u64, clock: &Clock) {
        let state = &mut *self.lock();
        state.outbox.number_from(number);
        for Standing { rpc, events, bytes, oldest } in standing {
            state.outbox.found(rpc, events, bytes, Some(clock.instant(oldest)));
        }
        for rpc in state.outbox.rpcs() {
            self.go_on(state, rpc);
        }
    }

    /// None while it is on its way, or may be in a moment.
    fn replay_waiting(self: &Arc<Self>, store: &Store, number: u64, rpc: &'static str) -> Option<Asked<()>> {
        let (now, state) = (Instant::now(), &mut *self.lock());
        let Shelf { waiting, tail } = state.outbox.of(rpc);
        if state.phase != Phase::Running || !(tail.is_quiet(number) || waiting.hurry(number, now)) {
            return None;
        }
        self.go_on(state, rpc);
        Some(asked(store, 0, move |connection, clock| {
            act::make_due(connection, number, clock.now())?;
            Ok(((), vec![News::Added { rpc, events: 0, bytes: 0 }]))
        }))
    }

    /// The queue hears of it when it is done: until then nothing reads the event, as all is done in order.
    fn drop_waiting(
        self: &Arc<Self>,
        store: &Store,
        number: u64,
        rpc: &'static str,
        bytes: usize,
    ) -> Option<Asked<bool>> {
        let state = &mut *self.lock();
        if state.phase != Phase::Running {
            return None;
        }
        if !state.outbox.of(rpc).tail.is_quiet(number) {
            let (entry, behind) = state.outbox.of(rpc).waiting.take_out(number)?;
            match behind {
                true => self.end_behind(state, &entry),
                false => self.end(state, &entry, Op::Done),
            }
            self.go_on(state, rpc);
            // It is done when that is.
            return Some(asked(store, 0, |_, _| Ok((true, Vec::new()))));
        }
        Some(asked(store, 0, move |connection, _| {
            let Some(key) = act::discard(connection, number)? else { return Ok((false, Vec::new())) };
            if let Some(key) = key {
                act::promote(connection, &Next { rpc, key: key.into() })?;
            }
            Ok((true, vec![News::Gone { rpc, number, bytes }, News::Added { rpc, events: 0, bytes: 0 }]))
        }))
    }
}
