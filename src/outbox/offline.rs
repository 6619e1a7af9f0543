//! The events of a directory, while no hookgate serves from it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::TARGET;
use super::admin::{Changed, OperateError, count_one, run};
use super::jetstream::{self, SPILL};
use super::sqlite::{self, Count, Filter, Item, OpenError, Opened, act, look, selected};
use crate::config::is_policy_name;

/// Returns the outboxes of a directory by the names of their policies: its own, of `policy`, and those of the directories in it
/// that have a policy's name. Nothing is opened or made.
pub(crate) fn outboxes(data: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data)? {
        let (name, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        // A policy called `policy` has the directory itself.
        let name = name.into_string().ok().filter(|name| name != TARGET && is_policy_name(name));
        found.extend(name.filter(|_| sqlite::is_in(&path)).map(|name| (name, path)));
    }
    found.sort();
    if sqlite::is_in(data) {
        found.insert(0, (TARGET.to_owned(), data.to_owned()));
    }
    Ok(found)
}

/// The events of a directory that no hookgate serves from: those of its outbox, and those that wait in its spill for a
/// cluster.
#[derive(Debug)]
pub struct Offline {
    policy: String,
    outbox: Opened,
    directory: PathBuf,
}

impl Offline {
    /// Opens the directory; no other hookgate may use it meanwhile.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_of(TARGET, directory)
    }

    /// Opens the directory of a policy.
    pub(crate) fn open_of(policy: &str, directory: &Path) -> Result<Self, OpenError> {
        Ok(Self { policy: policy.to_owned(), outbox: sqlite::open(directory)?, directory: directory.to_owned() })
    }

    /// Counts the events by rpc, state and reason.
    pub fn counted(&self) -> Result<Vec<Count>, OperateError> {
        let mut counts = look::counts(&self.outbox.connection)?;
        counts.iter_mut().for_each(|count| count.target.clone_from(&self.policy));
        for Item { target, rpc, state, reason, bytes, arrived, .. } in self.spilled(&Filter::default(), usize::MAX)? {
            count_one(&mut counts, Count { target, rpc, state, reason, events: 1, bytes, oldest: arrived });
        }
        Ok(counts)
    }

    /// Lists events without their content, some at a time.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Item>, OperateError> {
        let is_behind = filter.after.is_some_and(|after| after >= SPILL);
        let mut items = if is_behind { Vec::new() } else { look::list(&self.outbox.connection, filter)? };
        let most = filter.most_listed().saturating_sub(items.len());
        items.iter_mut().for_each(|item| item.target.clone_from(&self.policy));
        items.extend(self.spilled(filter, most)?);
        Ok(items)
    }

    fn spilled(&self, filter: &Filter, most: usize) -> Result<Vec<Item>, OperateError> {
        let mut items = jetstream::list_offline(&self.directory, &self.outbox.clock, filter, most)?;
        items.iter_mut().for_each(|item| item.target.clone_from(&self.policy));
        Ok(items)
    }

    /// Counts events.
    pub fn count(&self, filter: &Filter) -> Result<i64, OperateError> {
        let spilled = i64::try_from(self.spilled(filter, usize::MAX)?.len()).unwrap_or(i64::MAX);
        Ok(look::count(&self.outbox.connection, filter)? + spilled)
    }

    /// Returns an event with its content.
    pub fn show(&self, id: &str, reveal: bool) -> Result<Item, OperateError> {
        let found = match look::show(&self.outbox.connection, id, reveal)? {
            None => jetstream::show_offline(&self.directory, &self.outbox.clock, id, reveal)?,
            found => found,
        };
        let item = found.ok_or_else(|| OperateError::Unknown(id.to_owned()))?;
        Ok(Item { target: self.policy.clone(), ..item })
    }

    /// Lets dead letters wait for the next start, some at a time.
    pub fn replay(&mut self, filter: &Filter) -> Result<Changed, OperateError> {
        filter.check()?;
        let Opened { connection, clock, .. } = &self.outbox;
        let (places, now) = (selected(connection, filter)?, clock.now());
        let transaction = connection.unchecked_transaction()?;
        let mut replayed = act::replay(&transaction, &places, run(), now)?.iter().map(|of| of.events).sum();
        if let (Some(id), 0) = (&filter.id, replayed) {
            let Some(waiting) = act::waiting(&transaction, filter, clock)? else {
                // One in the spill goes as soon as the cluster takes it.
                return Err(match jetstream::has_offline(&self.directory, id)? {
                    true => OperateError::OnItsWay(id.clone()),
                    false => OperateError::Unknown(id.clone()),
                });
            };
            act::make_due(&transaction, waiting.entry.number(), now)?;
            replayed = 1;
        }
        transaction.commit()?;
        Ok(Changed::of(replayed, filter, &places))
    }

    /// Drops dead letters, some at a time; an event that waits by its ID.
    pub fn discard(&mut self, filter: &Filter) -> Result<Changed, OperateError> {
        filter.check()?;
        let Opened { connection, clock, .. } = &self.outbox;
        let places = selected(connection, filter)?;
        let transaction = connection.unchecked_transaction()?;
        let mut dropped = act::drop_dead(&transaction, &places)?;
        if let (Some(id), 0) = (&filter.id, dropped) {
            let Some(waiting) = act::waiting(&transaction, filter, clock)? else {
                return match jetstream::drop_offline(&self.directory, id)? {
                    true => Ok(Changed::ONE),
                    false => Err(OperateError::Unknown(id.clone())),
                };
            };
            // The one behind it comes first at the next start.
            act::drop_waiting(&transaction, waiting.entry.number())?;
            dropped = 1;
        }
        transaction.commit()?;
        Ok(Changed::of(dropped, filter, &places))
    }
}
