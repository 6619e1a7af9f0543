//! Counters of the names that OpenIM sends for what this build knows: commands, aliases of fields, and bodies without a known
//! field.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::{Field, Name};
use crate::contract::Callback;

/// Counters of known names. A webhook without aliases takes no lock.
#[derive(Debug)]
pub struct Names {
    /// By the command's place in the table of commands.
    commands: Vec<Count>,
    /// Aliases of fields, by the callback's place.
    fields: Mutex<BTreeMap<(usize, &'static str), Count>>,
    /// Bodies without a known field, by the callback's place.
    unrecognized: Vec<Unrecognized>,
}

#[derive(Debug, Default)]
struct Unrecognized {
    bodies: Count,
    /// The second of the last log message, since 1970; 0 is never.
    logged: AtomicU64,
    /// The number of bodies since that message.
    unlogged: AtomicU64,
}

/// A counter with the times of its first and last increment, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Count {
    count: AtomicU64,
    first: AtomicU64,
    last: AtomicU64,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            commands: Callback::commands().map(|_| Count::default()).collect(),
            fields: Mutex::default(),
            unrecognized: Callback::all().iter().map(|_| Unrecognized::default()).collect(),
        }
    }
}

impl Names {
    /// Counts a webhook by its command's place in the table of commands; `now` is in milliseconds since 1970.
    pub fn count_command(&self, place: usize, now: u64) {
        if let Some(count) = self.commands.get(place) {
            count.add(1, now);
        }
    }

    /// Counts the aliases that a webhook has for its fields; `now` is in milliseconds since 1970.
    pub fn count_fields(&self, callback: &Callback, names: &[&'static str], now: u64) {
        if names.is_empty() {
            return;
        }
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            fields.entry((callback.index, name)).or_default().add(1, now);
        }
    }

    /// Counts a body that has no known field but the command; `now` is in milliseconds since 1970. Returns `Some` once a
    /// second for each callback, if it is to be logged: the number of bodies since the last log message.
    pub fn count_unrecognized(&self, callback: &Callback, now: u64) -> Option<u64> {
        let Unrecognized { bodies, logged, unlogged } = self.unrecognized.get(callback.index)?;
        bodies.add(1, now);
        let second = now / 1000;
        if logged.swap(second, Relaxed) == second {
            unlogged.fetch_add(1, Relaxed);
            return None;
        }
        Some(unlogged.swap(0, Relaxed))
    }

    /// Returns the rpcs that had bodies without a known field, in the order of the table.
    pub fn unrecognized(&self) -> Vec<Name> {
        let counted = Callback::all().iter().zip(&self.unrecognized);
        counted.filter_map(|(callback, count)| count.bodies.name(callback.service_and_method())).collect()
    }

    /// Returns the commands received, in the order of their names, each with its callback.
    pub fn commands(&self) -> Vec<(&'static Callback, Name)> {
        let counted = Callback::commands().zip(&self.commands);
        counted.filter_map(|((command, callback), count)| Some((callback, count.name(command)?))).collect()
    }

    /// Returns the aliases of fields received, in the order of the table.
    pub fn fields(&self) -> Vec<Field> {
        let fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        let named = fields.iter().filter_map(|((place, name), count)| {
            Some(Field { rpc: Callback::all().get(*place)?.service_and_method().to_owned(), name: count.name(name)? })
        });
        named.collect()
    }
}

impl Count {
    /// Adds `times`; `now` is in milliseconds since 1970.
    pub(super) fn add(&self, times: u64, now: u64) {
        if self.count.fetch_add(times, Relaxed) == 0 {
            self.first.store(now, Relaxed);
        }
        self.last.store(now, Relaxed);
    }

    /// Returns the counter of a name for a report, unless it is 0.
    pub(super) fn name(&self, name: &str) -> Option<Name> {
        let time = |millis: &AtomicU64| {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(millis.load(Relaxed))).to_string()
        };
        let (name, count) = (name.to_owned(), self.count.load(Relaxed));
        (count > 0).then(|| Name { name, count, first_seen: time(&self.first), last_seen: time(&self.last) })
    }
}
