//! The names that OpenIM uses for what this build knows: of some things other servers have other ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::Unknown;
use crate::contract::Callback;

/// How often each name of the table came, and since when.
#[derive(Debug)]
pub struct Names {
    /// By the command's place in the table of commands.
    commands: Vec<Count>,
    /// Aliases of fields, by the callback's place. No webhook without one locks it.
    fields: Mutex<BTreeMap<(usize, &'static str), Count>>,
    /// Bodies without any field of the contract, by the callback's place.
    unrecognized: Vec<Unrecognized>,
}

#[derive(Debug, Default)]
struct Unrecognized {
    bodies: Count,
    /// The second of the last log line, since 1970; 0 is never.
    logged: AtomicU64,
    /// The number of bodies since that line.
    unlogged: AtomicU64,
}

#[derive(Debug, Default)]
struct Count {
    count: AtomicU64,
    /// Milliseconds since 1970; 0 is never.
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
            count.again(now);
        }
    }

    /// Counts the aliases that a webhook has for its fields; `now` is in milliseconds since 1970.
    pub fn count_fields(&self, callback: &Callback, names: &[&'static str], now: u64) {
        if names.is_empty() {
            return;
        }
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            fields.entry((callback.index, name)).or_default().again(now);
        }
    }

    /// Counts a body that has none of the fields that the contract knows, the command apart; `now` is in milliseconds
    /// since 1970. Once a second and callback it is to be logged: returns the number of those before it that were not.
    pub fn count_unrecognized(&self, callback: &Callback, now: u64) -> Option<u64> {
        let Unrecognized { bodies, logged, unlogged } = self.unrecognized.get(callback.index)?;
        bodies.again(now);
        let second = now / 1000;
        if logged.swap(second, Relaxed) == second {
            unlogged.fetch_add(1, Relaxed);
            return None;
        }
        Some(unlogged.swap(0, Relaxed))
    }

    /// The callbacks that came with none of their fields, in the order of the table; the name is the rpc's.
    pub fn unrecognized(&self) -> Vec<Unknown> {
        let counted = Callback::all().iter().zip(&self.unrecognized);
        counted.filter_map(|(callback, count)| count.bodies.of(callback.service_and_method())).collect()
    }

    /// The commands that came, in the order of their names, each with its callback.
    pub fn commands(&self) -> Vec<(&'static Callback, Unknown)> {
        let came = Callback::commands().zip(&self.commands);
        came.filter_map(|((command, callback), count)| Some((callback, count.of(command)?))).collect()
    }

    /// The aliases of fields that came, in the order of the table.
    pub fn fields(&self) -> Vec<(&'static Callback, Unknown)> {
        let fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        let named =
            fields.iter().filter_map(|((place, name), count)| Some((Callback::all().get(*place)?, count.of(name)?)));
        named.collect()
    }
}

impl Count {
    fn again(&self, now: u64) {
        if self.count.fetch_add(1, Relaxed) == 0 {
            self.first.store(now, Relaxed);
        }
        self.last.store(now, Relaxed);
    }

    fn of(&self, name: &str) -> Option<Unknown> {
        let time = |millis: &AtomicU64| UNIX_EPOCH + Duration::from_millis(millis.load(Relaxed));
        let count = self.count.load(Relaxed);
        (count > 0).then(|| Unknown {
            name: name.to_owned(),
            count,
            first_seen: time(&self.first),
            last_seen: time(&self.last),
        })
    }
}
