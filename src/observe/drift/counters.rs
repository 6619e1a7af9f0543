//! Counters of the names that OpenIM sends: commands, unknown fields, aliases of fields, and bodies without a known field.

use std::borrow::Cow;

use parking_lot::Mutex;

use super::names::{Count, Names, rfc3339};
use super::report::never_came;
use super::{LooksLike, Name, Report};
use crate::config::Enabled;
use crate::contract::{Callback, UnknownFields};
use crate::observe::counters::millis_now;
use crate::observe::log_limit::LogLimit;

/// Maximum number of unknown commands counted by name.
pub const MOST_COMMANDS: usize = 100;

/// Maximum number of fields of one rpc counted by name.
pub const MOST_FIELDS: usize = 30;

/// Counters of names. A webhook with a known command and the contract's names of fields takes no lock. All times are in
/// milliseconds since 1970.
#[derive(Debug)]
pub struct NameCounters {
    /// By the command's index in the table of commands.
    commands: Vec<Count>,
    unknown_commands: Mutex<Names>,
    /// By the callback's index, the fallback last.
    bodies: Vec<Bodies>,
    /// The start of counting.
    since: u64,
}

/// Counters of the bodies of one callback.
#[derive(Debug, Default)]
struct Bodies {
    unknown_fields: Mutex<Names>,
    aliases: Mutex<Names>,
    /// Those without a known field.
    unrecognized: Count,
    unrecognized_log: LogLimit,
}

impl Default for NameCounters {
    fn default() -> Self {
        Self {
            commands: Callback::commands().map(|_| Count::default()).collect(),
            unknown_commands: Mutex::default(),
            bodies: (0..=Callback::all().len()).map(|_| Bodies::default()).collect(),
            since: millis_now(),
        }
    }
}

impl NameCounters {
    /// Counts a webhook by its command's index in the table of commands.
    pub fn count_command(&self, index: usize, now: u64) {
        self.commands[index].add(1, now);
    }

    /// Counts a webhook with an unknown command.
    pub fn count_unknown_command(&self, command: &str, now: u64) {
        self.unknown_commands.lock().count(command, MOST_COMMANDS, now);
    }

    /// Counts the aliases that a body has for fields.
    pub fn count_aliases(&self, callback: &Callback, aliases: &[&'static str], now: u64) {
        if !aliases.is_empty() {
            let mut names = self.bodies[callback.index].aliases.lock();
            aliases.iter().for_each(|alias| names.count(alias, MOST_FIELDS, now));
        }
    }

    /// Counts the unknown fields of a body by their JSON paths without indices: `users[].color`. Those that came without a path
    /// are counted as `other`.
    pub fn count_unknown_fields(&self, callback: &Callback, unknown: &UnknownFields, now: u64) {
        if unknown.count > 0 {
            let mut names = self.bodies[callback.index].unknown_fields.lock();
            unknown.paths.iter().for_each(|path| names.count(&without_indices(path), MOST_FIELDS, now));
            names.count_other(unknown.count.saturating_sub(unknown.paths.len()), now);
        }
    }

    /// Counts a body that has no known field but the command. Calls `log` at most once a second for each callback, with the
    /// number of bodies since the last call, if any.
    pub fn count_unrecognized(&self, callback: &Callback, now: u64, log: impl FnOnce(Option<u64>)) {
        let bodies = &self.bodies[callback.index];
        bodies.unrecognized.add(1, now);
        bodies.unrecognized_log.log(1, log);
    }

    /// Makes the report. `enabled` is what OpenIM enables, if it is known.
    pub fn report(&self, enabled: Option<&Enabled>) -> Report {
        let counted = Callback::commands().zip(&self.commands);
        let commands: Vec<_> =
            counted.filter_map(|((command, callback), count)| Some((callback, count.report(None, command)?))).collect();
        let older = commands.iter().filter(|(callback, command)| command.name != callback.command);
        let unrecognized = self.bodies().filter_map(|(rpc, bodies)| bodies.unrecognized.report(None, rpc));
        let unknown_commands = self.unknown_commands.lock().report(None).collect();
        Report {
            since: rfc3339(self.since),
            unknown_commands,
            unknown_fields: self.fields(|bodies| &bodies.unknown_fields),
            unrecognized_bodies: unrecognized.collect(),
            older_commands: older.map(|(_, command)| command.clone()).collect(),
            older_fields: self.fields(|bodies| &bodies.aliases),
            never_came: enabled.map(|enabled| never_came(enabled, &commands)),
            looks_like: LooksLike::of(&commands),
        }
    }

    /// Returns the names of fields, in the order of the table of callbacks and of the names.
    fn fields(&self, names: fn(&Bodies) -> &Mutex<Names>) -> Vec<Name> {
        self.bodies().flat_map(|(rpc, bodies)| names(bodies).lock().report(Some(rpc)).collect::<Vec<_>>()).collect()
    }

    /// Returns each rpc with the counters of its bodies.
    fn bodies(&self) -> impl Iterator<Item = (&'static str, &Bodies)> {
        let callbacks = Callback::all().iter().chain([Callback::fallback()]);
        callbacks.map(Callback::service_and_method).zip(&self.bodies)
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
