//! Counters of commands and fields that this build does not know. Any caller can invent names, so their number and length
//! are bounded.
//!
//! A webhook with a known command and known fields takes no lock.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::names::Count;
use super::{Field, Name};
use crate::contract::{self, Callback};
use crate::cut::beginning;
use crate::observe::counters::millis_now;

/// Maximum number of commands counted by name.
pub const MOST_COMMANDS: usize = 100;

/// Maximum number of fields of one rpc counted by name.
pub const MOST_FIELDS: usize = 30;

/// Maximum bytes of a name; a longer one is truncated.
pub const LONGEST_NAME: usize = 128;

/// The name under which everything over these two numbers is counted.
pub const OTHER: &str = "other";

/// Counters of unknown commands and fields. A name has no control characters and at most [`LONGEST_NAME`] bytes.
#[derive(Debug, Default)]
pub struct Unknowns {
    commands: Mutex<Names>,
    /// By the callback's place.
    fields: Mutex<BTreeMap<usize, (&'static Callback, Names)>>,
}

impl Unknowns {
    /// Counts a webhook with an unknown command.
    pub fn count_command(&self, command: &str) {
        lock(&self.commands).count(command, MOST_COMMANDS, millis_now());
    }

    /// Counts the unknown fields of a webhook by their JSON paths without indices: `users[].color`. Those that came without
    /// a path are counted as `other`.
    pub fn count_fields(&self, callback: &'static Callback, unknown: &contract::UnknownFields) {
        let contract::UnknownFields { paths, count } = unknown;
        if *count == 0 {
            return;
        }
        let now = millis_now();
        let mut fields = lock(&self.fields);
        let (_, names) = fields.entry(callback.index).or_insert_with(|| (callback, Names::default()));
        for path in paths {
            names.count(&without_indices(path), MOST_FIELDS, now);
        }
        let without_path = count.saturating_sub(paths.len());
        if without_path > 0 {
            names.other.add(without_path as u64, now);
        }
    }

    /// Returns the commands, in the order of their names, `other` last.
    pub fn commands(&self) -> Vec<Name> {
        lock(&self.commands).list().collect()
    }

    /// Returns the fields, in the order of the table and of their names, `other` of each rpc last.
    pub fn fields(&self) -> Vec<Field> {
        let fields = lock(&self.fields);
        let of_rpc = |(callback, names): &(&'static Callback, Names)| {
            let rpc = callback.service_and_method();
            names.list().map(|name| Field { rpc: rpc.to_owned(), name }).collect::<Vec<_>>()
        };
        fields.values().flat_map(of_rpc).collect()
    }
}

/// A bounded map of counters.
#[derive(Debug, Default)]
struct Names {
    known: BTreeMap<String, Count>,
    other: Count,
}

impl Names {
    fn count(&mut self, name: &str, most: usize, now: u64) {
        let mut name = Cow::from(beginning(name, LONGEST_NAME));
        if name.contains(char::is_control) {
            name = name.replace(char::is_control, "?").into();
        }
        match self.known.get(&*name) {
            Some(count) => count.add(1, now),
            None if name == OTHER || self.known.len() >= most => self.other.add(1, now),
            None => self.known.entry(name.into_owned()).or_default().add(1, now),
        }
    }

    fn list(&self) -> impl Iterator<Item = Name> {
        self.known.iter().filter_map(|(name, count)| count.name(name)).chain(self.other.name(OTHER))
    }
}

/// Returns a path without indices: `users[].color` for `users[1].color`. What follows `["` is a quoted name.
fn without_indices(path: &str) -> Cow<'_, str> {
    let (indexed, quoted) = path.split_at(path.find("[\"").unwrap_or(path.len()));
    if !indexed.contains('[') {
        return path.into();
    }
    let parts = indexed.split('[').map(|part| part.find(']').map_or(part, |end| &part[end..]));
    (parts.collect::<Vec<_>>().join("[") + quoted).into()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A count that is half done is still a count.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
