//! The drift report: a part of `/status`, and what `hookgate drift` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::Enabled;
use crate::contract::Callback;
use crate::openim::Release;

/// The differences between what OpenIM sends and what this build expects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The start of counting, which is that of the process, as RFC 3339 in UTC. Empty if an older hookgate does not say it.
    #[serde(default)]
    pub since: String,
    /// Commands that this build does not know.
    pub unknown_commands: Vec<Name>,
    /// Fields that this build does not know.
    pub unknown_fields: Vec<Name>,
    /// Rpcs that had webhooks without any known field but `callbackCommand`. A policy sees such a webhook only in
    /// `unknown_fields`.
    #[serde(default)]
    pub unrecognized_bodies: Vec<Name>,
    /// Commands that only older servers send.
    pub older_commands: Vec<Name>,
    /// Fields under an alias, as older servers and the Enterprise edition send them.
    pub older_fields: Vec<Name>,
    /// Callbacks that OpenIM's `webhooks.yml` enables and that never came; none if hookgate does not read that file.
    pub never_came: Option<Vec<Key>>,
    /// The releases that send what came.
    pub looks_like: LooksLike,
}

/// A name, with its counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The rpc of a field's callback: `MessagePolicyService/BeforeSendSingleMsg`; `None` for other names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc: Option<String>,
    /// A command, an rpc, or a field's JSON path without indices of lists: `users[].color`.
    pub name: String,
    /// The number of times that it came. A list in one body can have a field several times.
    pub count: u64,
    /// The first time, as RFC 3339 in UTC.
    pub first_seen: String,
    /// The last time.
    pub last_seen: String,
}

/// An enabled callback that never came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its key in `webhooks.yml`.
    pub config_key: String,
    /// The releases that send it; empty if servers only define it.
    pub releases: Vec<String>,
    /// The reason why it may not come, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caveat: Option<String>,
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
    /// Returns the lists of names that this build does not expect, each with its title and its words in a summary.
    pub(super) fn lists(&self) -> [(&[Name], &'static str, &'static str); 5] {
        let no_field = "webhooks with NONE of the known fields (the policy sees unknown_fields alone)";
        [
            (&self.unrecognized_bodies, no_field, "rpcs without any known field"),
            (&self.unknown_commands, "unknown commands (FallbackPolicyService takes them)", "unknown commands"),
            (&self.unknown_fields, "unknown fields (they are in unknown_fields)", "unknown fields"),
            (&self.older_commands, "commands with an older name", "older commands"),
            (&self.older_fields, "fields with another name (older servers, the Enterprise edition)", "older fields"),
        ]
    }

    /// Returns true if OpenIM has sent other names than this build expects.
    pub fn has_other_names(&self) -> bool {
        self.lists().iter().any(|(names, ..)| !names.is_empty())
    }

    /// Returns true if there is any difference.
    pub fn is_drift(&self) -> bool {
        self.has_other_names() || self.never_came.as_ref().is_some_and(|keys| !keys.is_empty())
    }
}

/// Returns the enabled keys of which no callback came.
pub(super) fn never_came(enabled: &Enabled, commands: &[(&'static Callback, Name)]) -> Vec<Key> {
    let is_enabled = |callback: &&'static Callback| enabled.commands.contains(callback.command);
    let callbacks = commands.iter().map(|(callback, _)| *callback);
    let came: BTreeSet<_> = callbacks.filter(is_enabled).map(|callback| callback.config_key).collect();
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    // A key with a caveat can be that of no callback.
    keys.extend(enabled.caveats.keys().map(|key| (*key, BTreeSet::new())));
    for callback in Callback::all().iter().filter(is_enabled) {
        keys.entry(callback.config_key).or_default().extend(callback.releases);
    }
    let missing = keys.into_iter().filter(|(key, _)| !came.contains(key));
    let key = |(key, sent_by): (&str, BTreeSet<&str>)| Key {
        config_key: key.to_owned(),
        releases: releases(|release| sent_by.contains(release.as_str())),
        caveat: enabled.caveats.get(key).cloned(),
    };
    missing.map(key).collect()
}

impl LooksLike {
    /// Guesses from the commands received.
    pub(super) fn of(commands: &[(&'static Callback, Name)]) -> Self {
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
