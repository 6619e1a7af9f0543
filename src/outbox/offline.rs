//! The same on the directory, when no hookgate serves from it.

use std::path::Path;

use super::operate::{Changed, OperateError};
use super::store::look::{self, Count, Item};
use super::store::meant::{Filter, meant};
use super::store::{OpenError, Opened, act, open};

/// The events of a directory that no hookgate serves from.
#[derive(Debug)]
pub struct Offline(Opened);

impl Offline {
    /// Opens the directory; no other hookgate may use it meanwhile.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        open(directory).map(Self)
    }

    /// How many events there are, by rpc, state and reason.
    pub fn counted(&self) -> Result<Vec<Count>, OperateError> {
        Ok(look::counts(&self.0.connection)?)
    }

    /// The events that are meant, without their content.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Item>, OperateError> {
        Ok(look::list(&self.0.connection, filter)?)
    }

    /// How many events are meant.
    pub fn count(&self, filter: &Filter) -> Result<i64, OperateError> {
        Ok(look::count(&self.0.connection, filter)?)
    }

    /// An event with its content.
    pub fn show(&self, id: &str, reveal: bool) -> Result<Item, OperateError> {
        look::show(&self.0.connection, id, reveal)?.ok_or_else(|| OperateError::Unknown(id.to_owned()))
    }

    /// Lets events that ended wait for the next start, some at a time.
    pub fn replay(&mut self, filter: &Filter) -> Result<Changed, OperateError> {
        filter.meant()?;
        let places = meant(&self.0.connection, filter)?;
        let (first, now) = (self.0.number, self.0.clock.now());
        self.0.number += places.len() as u64;
        let transaction = self.0.connection.unchecked_transaction()?;
        let mut replayed = act::replay(&transaction, &places, first, now)?.iter().map(|of| of.events).sum();
        if let (Some(id), 0) = (&filter.id, replayed) {
            let (number, ..) = act::waiting(&transaction, filter)?.ok_or_else(|| OperateError::Unknown(id.clone()))?;
            act::make_due(&transaction, number, now)?;
            replayed = 1;
        }
        transaction.commit()?;
        Ok(Changed::of(replayed, filter, &places))
    }

    /// Drops events that ended, some at a time; one that waits by its ID.
    pub fn discard(&mut self, filter: &Filter) -> Result<Changed, OperateError> {
        filter.meant()?;
        let places = meant(&self.0.connection, filter)?;
        let transaction = self.0.connection.unchecked_transaction()?;
        let mut dropped = act::drop_dead(&transaction, &places)?;
        if let (Some(id), 0) = (&filter.id, dropped) {
            let (number, ..) = act::waiting(&transaction, filter)?.ok_or_else(|| OperateError::Unknown(id.clone()))?;
            // What was behind it comes first at the next start.
            act::discard(&transaction, number)?;
            dropped = 1;
        }
        transaction.commit()?;
        Ok(Changed::of(dropped, filter, &places))
    }
}
