//! The names that OpenIM uses for what this build knows: of some things older servers have older ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::Unknown;
use crate::callback::Callback;

/// How often each name of the table came, and since when.
#[derive(Debug)]
pub struct Names {
    /// By the command's place in the table of commands.
    commands: Vec<Count>,
    /// Older names of fields, by the callback's place. No webhook of a newer server locks it.
    fields: Mutex<BTreeMap<(usize, &'static str), Count>>,
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
        Self { commands: Callback::commands().map(|_| Count::default()).collect(), fields: Mutex::default() }
    }
}

impl Names {
    /// Counts a webhook by its command's place in the table of commands; `now` is in milliseconds since 1970.
    pub fn count_command(&self, place: usize, now: u64) {
        if let Some(count) = self.commands.get(place) {
            count.again(now);
        }
    }

    /// Counts the older names that a webhook has for its fields; `now` is in milliseconds since 1970.
    pub fn count_fields(&self, callback: &Callback, names: &[&'static str], now: u64) {
        if names.is_empty() {
            return;
        }
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            fields.entry((callback.place, name)).or_default().again(now);
        }
    }

    /// The commands that came, in the order of their names, each with its callback.
    pub fn commands(&self) -> Vec<(&'static Callback, Unknown)> {
        let came = Callback::commands().zip(&self.commands);
        came.filter_map(|((command, callback), count)| Some((callback, count.of(command)?))).collect()
    }

    /// The older names of fields that came, in the order of the table.
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
