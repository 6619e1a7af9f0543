//! What OpenIM sends that this build does not know, by name: bounded, as whoever reaches the port chooses the names.
//!
//! Nothing is locked for a webhook whose command and fields are all known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::contract;
use crate::contract::Callback;

/// How many commands are kept by name.
pub const MOST_COMMANDS: usize = 100;

/// How many fields of one rpc are kept by name.
pub const MOST_FIELDS: usize = 30;

/// The longest name that is kept, in bytes; a longer one is cut.
pub const LONGEST_NAME: usize = 128;

/// The name of everything that there was no room for.
pub const OTHER: &str = "other";

/// Commands and fields that this build does not know.
#[derive(Debug, Default)]
pub struct Unknowns {
    commands: Mutex<Names>,
    /// By the callback's place.
    fields: Mutex<BTreeMap<usize, (&'static Callback, Names)>>,
}

/// Something that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Its name, without control characters, of at most [`LONGEST_NAME`] bytes. A field's is its JSON path, the places in
    /// lists left out: `users[].color`. [`OTHER`] is what there was no room for.
    pub name: String,
    /// How often it came. In a body with a list it may come more than once.
    pub count: u64,
    /// When it came first.
    pub first_seen: SystemTime,
    /// When it came last.
    pub last_seen: SystemTime,
}

impl Unknowns {
    /// Counts a webhook whose command no row has.
    pub fn count_command(&self, command: &str) {
        lock(&self.commands).count(command, 1, MOST_COMMANDS, SystemTime::now());
    }

    /// Counts the fields of a webhook that its row does not have, by their JSON paths. Those without a path count as
    /// [`OTHER`].
    pub fn count_fields(&self, callback: &'static Callback, unknown: &contract::UnknownFields) {
        let contract::UnknownFields { paths, count } = unknown;
        if *count == 0 {
            return;
        }
        let now = SystemTime::now();
        let mut fields = lock(&self.fields);
        let (_, names) = fields.entry(callback.index).or_insert_with(|| (callback, Names::default()));
        for path in paths {
            names.count(&without_places(path), 1, MOST_FIELDS, now);
        }
        let without_path = count.saturating_sub(paths.len());
        if without_path > 0 {
            names.count_other(without_path as u64, now);
        }
    }

    /// The commands so far, in the order of their names, [`OTHER`] last.
    pub fn commands(&self) -> Vec<Unknown> {
        lock(&self.commands).list()
    }

    /// The fields so far, in the order of the table and of their names, each rpc's [`OTHER`] last.
    pub fn fields(&self) -> Vec<(&'static Callback, Unknown)> {
        let fields = lock(&self.fields);
        fields.values().flat_map(|(callback, names)| names.list().into_iter().map(|field| (*callback, field))).collect()
    }
}

/// A bounded list of names.
#[derive(Debug, Default)]
struct Names {
    known: BTreeMap<String, Seen>,
    other: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    count: u64,
    first: SystemTime,
    last: SystemTime,
}

impl Names {
    fn count(&mut self, name: &str, times: u64, most: usize, now: SystemTime) {
        let name = fit(name);
        if let Some(seen) = self.known.get_mut(&*name) {
            seen.again(times, now);
        } else if self.known.len() < most {
            self.known.insert(name.into_owned(), Seen { count: times, first: now, last: now });
        } else {
            self.count_other(times, now);
        }
    }

    fn count_other(&mut self, times: u64, now: SystemTime) {
        self.other.get_or_insert(Seen { count: 0, first: now, last: now }).again(times, now);
    }

    fn list(&self) -> Vec<Unknown> {
        let known = self.known.iter().filter(|(name, _)| *name != OTHER);
        // Something may really be called so.
        let other = [self.known.get(OTHER), self.other.as_ref()].into_iter().flatten().copied().reduce(Seen::and);
        known.map(|(name, seen)| seen.of(name)).chain(other.map(|seen| seen.of(OTHER))).collect()
    }
}

impl Seen {
    fn again(&mut self, times: u64, now: SystemTime) {
        self.count += times;
        self.last = now;
    }

    fn and(self, other: Self) -> Self {
        let (first, last) = (self.first.min(other.first), self.last.max(other.last));
        Self { count: self.count + other.count, first, last }
    }

    fn of(&self, name: &str) -> Unknown {
        Unknown { name: name.to_owned(), count: self.count, first_seen: self.first, last_seen: self.last }
    }
}

/// A name as it may be shown anywhere.
fn fit(name: &str) -> Cow<'_, str> {
    let end = (0..=name.len().min(LONGEST_NAME)).rev().find(|end| name.is_char_boundary(*end));
    let name = &name[..end.unwrap_or_default()];
    if name.contains(char::is_control) { name.replace(char::is_control, "?").into() } else { name.into() }
}

/// A path without the places in lists: `users[1].color` is `users[].color`. What follows `["` is a quoted name.
fn without_places(path: &str) -> Cow<'_, str> {
    let (way, name) = path.split_at(path.find("[\"").unwrap_or(path.len()));
    if !way.contains('[') {
        return path.into();
    }
    let mut out = String::with_capacity(path.len());
    let mut within = false;
    for letter in way.chars() {
        within &= letter != ']';
        if !within {
            out.push(letter);
        }
        within |= letter == '[';
    }
    (out + name).into()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A count that is half done is still a count.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
