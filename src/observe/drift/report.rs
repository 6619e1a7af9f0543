//! The drift report: a part of `/status`, and what `hookgate drift` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Names, Unknowns};
use crate::contract::Callback;
use crate::openim::Release;

/// The differences between what OpenIM sends and what this build expects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Commands that this build does not know.
    pub unknown_commands: Vec<Name>,
    /// Fields that this build does not know.
    pub unknown_fields: Vec<Field>,
    /// Rpcs that had webhooks without any known field but `callbackCommand`. A policy sees such a webhook only in
    /// `unknown_fields`.
    #[serde(default)]
    pub unrecognized_bodies: Vec<Name>,
    /// Commands that only older servers send.
    pub older_commands: Vec<Name>,
    /// Fields under an alias, as older servers and the Enterprise edition send them.
    pub older_fields: Vec<Field>,
    /// Callbacks that OpenIM's `webhooks.yml` enables and that never came; none if hookgate does not read that file.
    pub never_came: Option<Vec<Key>>,
    /// The releases that send what came.
    pub looks_like: LooksLike,
}

/// A name, with its counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The name.
    pub name: String,
    /// The number of times that it came. A list in one body can have a field several times.
    pub count: u64,
    /// The first time, as RFC 3339 in UTC.
    pub first_seen: String,
    /// The last time.
    pub last_seen: String,
}

/// A field, with its counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The rpc of its callback: `MessagePolicyService/BeforeSendSingleMsg`.
    pub rpc: String,
    /// The field's JSON path, without indices of lists: `users[].color`.
    #[serde(flatten)]
    pub name: Name,
}

/// An enabled callback that never came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its key in `webhooks.yml`.
    pub config_key: String,
    /// The releases that send it; empty if servers only define it.
    pub releases: Vec<String>,
}

/// A guess at the release of OpenIM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LooksLike {
    /// Releases that send every command received, oldest first.
    pub releases: Vec<String>,
    /// The number of different commands that the guess is based on.
    pub commands: usize,
}

impl Report {
    /// Makes a report from the counters, and from the commands that OpenIM enables, if they are known.
    pub fn of(unknowns: &Unknowns, names: &Names, enabled: Option<&BTreeSet<&'static str>>) -> Self {
        let commands = names.commands();
        let older = commands.iter().filter(|(callback, command)| command.name != callback.command);
        Self {
            unknown_commands: unknowns.commands(),
            unknown_fields: unknowns.fields(),
            unrecognized_bodies: names.unrecognized(),
            older_commands: older.map(|(_, command)| command.clone()).collect(),
            older_fields: names.fields(),
            never_came: enabled.map(|enabled| never_came(enabled, &commands)),
            looks_like: LooksLike::of(&commands),
        }
    }

    /// Returns true if there is any difference.
    pub fn is_drift(&self) -> bool {
        let Self { unknown_commands, unknown_fields, unrecognized_bodies, never_came, .. } = self;
        let unknown = unknown_commands.len() + unknown_fields.len() + unrecognized_bodies.len();
        let older = self.older_commands.len() + self.older_fields.len();
        unknown + older > 0 || never_came.as_ref().is_some_and(|keys| !keys.is_empty())
    }
}

/// Returns the enabled keys of which no callback came.
fn never_came(enabled: &BTreeSet<&'static str>, commands: &[(&'static Callback, Name)]) -> Vec<Key> {
    let mut keys: BTreeMap<&str, Vec<&'static Callback>> = BTreeMap::new();
    for callback in Callback::all().iter().filter(|callback| enabled.contains(callback.command)) {
        keys.entry(callback.config_key).or_default().push(callback);
    }
    let came = |callback: &&Callback| commands.iter().any(|(other, _)| other.index == callback.index);
    keys.retain(|_, callbacks| !callbacks.iter().any(came));
    let sends = |callbacks: &[&Callback], release: &Release| {
        callbacks.iter().any(|callback| callback.releases.contains(&release.as_str()))
    };
    let key = |(key, callbacks): (&str, Vec<&Callback>)| Key {
        config_key: key.to_owned(),
        releases: releases(|release| sends(&callbacks, release)),
    };
    keys.into_iter().map(key).collect()
}

impl LooksLike {
    fn of(commands: &[(&'static Callback, Name)]) -> Self {
        // A command that no release sends comes from something else.
        let is_sent = |(callback, command): &&(&'static Callback, Name)| {
            Release::ALL.iter().any(|release| release.posts(callback, &command.name))
        };
        let sent: Vec<_> = commands.iter().filter(is_sent).collect();
        let sends_all = |release: &Release| {
            !sent.is_empty() && sent.iter().all(|(callback, command)| release.posts(callback, &command.name))
        };
        Self { releases: releases(sends_all), commands: sent.len() }
    }
}

/// Returns the names of the releases for which `is_one` returns true, oldest first.
fn releases(is_one: impl Fn(&Release) -> bool) -> Vec<String> {
    Release::ALL.iter().filter(|release| is_one(release)).map(|release| release.as_str().to_owned()).collect()
}
