//! The events of a directory, while no hookgate serves from it.

use std::path::Path;

use super::admin::{Changed, OperateError, run};
use super::sqlite::{self, Count, Filter, Item, OpenError, Opened, act, look, selected};

/// The events of a directory that no hookgate serves from.
#[derive(Debug)]
pub struct Offline(Opened);

impl Offline {
    /// Opens the directory; no other hookgate may use it meanwhile.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        sqlite::open(directory).map(Self)
    }

    /// Counts the events by rpc, state and reason.
    pub fn counted(&self) -> Result<Vec<Count>, OperateError> {
        Ok(look::counts(&self.0.connection)?)
    }

    /// Lists events without their content, some at a time.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Item>, OperateError> {
        Ok(look::list(&self.0.connection, filter)?)
    }

    /// Counts events.
    pub fn count(&self, filter: &Filter) -> Result<i64, OperateError> {
        Ok(look::count(&self.0.connection, filter)?)
    }

    /// Returns an event with its content.
    pub fn show(&self, id: &str, reveal: bool) -> Result<Item, OperateError> {
        look::show(&self.0.connection, id, reveal)?.ok_or_else(|| OperateError::Unknown(id.to_owned()))
    }

    /// Lets dead letters wait for the next start, some at a time.
    pub fn replay(&mut self, filter: &Filter) -> Result<Changed, OperateError> {
        filter.check()?;
        let Opened { connection, clock, .. } = &self.0;
        let (places, now) = (selected(connection, filter)?, clock.now());
        let transaction = connection.unchecked_transaction()?;
        let mut replayed = act::replay(&transaction, &places, run(), now)?.iter().map(|of| of.events).sum();
        if let (Some(id), 0) = (&filter.id, replayed) {
            let waiting = act::waiting(&transaction, filter, clock)?;
            let waiting = waiting.ok_or_else(|| OperateError::Unknown(id.clone()))?;
            act::make_due(&transaction, waiting.entry.number(), now)?;
            replayed = 1;
        }
        transaction.commit()?;
        Ok(Changed::of(replayed, filter, &places))
    }

    /// Drops dead letters, some at a time; an event that waits by its ID.
    pub fn discard(&mut self, filter: &Filter) -> Result<Changed, OperateError> {
        filter.check()?;
        let Opened { connection, clock, .. } = &self.0;
        let places = selected(connection, filter)?;
        let transaction = connection.unchecked_transaction()?;
        let mut dropped = act::drop_dead(&transaction, &places)?;
        if let (Some(id), 0) = (&filter.id, dropped) {
            let waiting = act::waiting(&transaction, filter, clock)?;
            let waiting = waiting.ok_or_else(|| OperateError::Unknown(id.clone()))?;
            // The one behind it comes first at the next start.
            act::drop_waiting(&transaction, waiting.entry.number())?;
            dropped = 1;
        }
        transaction.commit()?;
        Ok(Changed::of(dropped, filter, &places))
    }
}
