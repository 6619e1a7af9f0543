//! What a running hookgate has seen of its OpenIM, as `/status` has it and `hookgate drift` prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Names, Unknown, Unknowns};
use crate::contract::Callback;
use crate::openim::Release;

/// Everything that is otherwise than this build expects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Commands that no row has.
    pub unknown_commands: Vec<Name>,
    /// Fields that their rows do not have.
    pub unknown_fields: Vec<Field>,
    /// Rpcs whose webhooks came with none of the fields that the contract knows, `callbackCommand` apart. A policy sees
    /// nothing of such a webhook but what is in `unknown_fields`.
    #[serde(default)]
    pub unrecognized_bodies: Vec<Name>,
    /// Commands that only older servers post.
    pub older_commands: Vec<Name>,
    /// Fields with an alias: a name that only older servers use, or the Enterprise edition.
    pub older_fields: Vec<Field>,
    /// What OpenIM's `webhooks.yml` enables and what never came; nothing where hookgate has not read that file.
    pub never_came: Option<Vec<Key>>,
    /// The release that all of it looks like.
    pub looks_like: LooksLike,
}

/// A name that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The name.
    pub name: String,
    /// How often.
    pub count: u64,
    /// When first: RFC 3339, in UTC.
    pub first_seen: String,
    /// When last.
    pub last_seen: String,
}

/// A field that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The rpc of its callback: `MessagePolicyService/BeforeSendSingleMsg`.
    pub rpc: String,
    /// Its name, as a JSON path.
    #[serde(flatten)]
    pub name: Name,
}

/// An enabled callback that never came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its key in `webhooks.yml`.
    pub config_key: String,
    /// The releases that send it; none where servers define it and never do.
    pub releases: Vec<String>,
}

/// Which release of OpenIM it is, as far as that can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LooksLike {
    /// Those that post every command that came, oldest first.
    pub releases: Vec<String>,
    /// From how many different commands that is known.
    pub commands: usize,
}

impl Report {
    /// What was counted, beside the commands of the callbacks that OpenIM enables, if that is known.
    pub fn of(unknowns: &Unknowns, names: &Names, enabled: Option<&BTreeSet<&'static str>>) -> Self {
        let commands = names.commands();
        let field = |(callback, field): (&'static Callback, Unknown)| Field {
            rpc: callback.service_and_method().to_owned(),
            name: field.into(),
        };
        let older = commands.iter().filter(|(callback, command)| command.name != callback.command);
        Self {
            unknown_commands: unknowns.commands().into_iter().map(Name::from).collect(),
            unknown_fields: unknowns.fields().into_iter().map(field).collect(),
            unrecognized_bodies: names.unrecognized().into_iter().map(Name::from).collect(),
            older_commands: older.map(|(_, command)| command.clone().into()).collect(),
            older_fields: names.fields().into_iter().map(field).collect(),
            never_came: enabled.map(|enabled| never_came(enabled, &commands)),
            looks_like: LooksLike::of(&commands),
        }
    }

    /// Whether anything is otherwise.
    pub fn is_drift(&self) -> bool {
        let Self { unknown_commands, unknown_fields, unrecognized_bodies, never_came, .. } = self;
        let unknown = unknown_commands.len() + unknown_fields.len() + unrecognized_bodies.len();
        let older = self.older_commands.len() + self.older_fields.len();
        unknown + older > 0 || never_came.as_ref().is_some_and(|keys| !keys.is_empty())
    }
}

/// A key has come when any of its callbacks has.
fn never_came(enabled: &BTreeSet<&'static str>, commands: &[(&'static Callback, Unknown)]) -> Vec<Key> {
    let mut keys: BTreeMap<&str, (bool, Vec<&'static Callback>)> = BTreeMap::new();
    for callback in Callback::all().iter().filter(|callback| enabled.contains(callback.command)) {
        let (came, callbacks) = keys.entry(callback.config_key).or_default();
        *came |= commands.iter().any(|(other, _)| other.index == callback.index);
        callbacks.push(callback);
    }
    let missing = keys.into_iter().filter(|(_, (came, _))| !came);
    let sends = |callbacks: &[&Callback], release: Release| {
        callbacks.iter().any(|callback| callback.releases.contains(&release.as_str()))
    };
    let key = |(key, (_, callbacks)): (&str, (bool, Vec<&Callback>))| Key {
        config_key: key.to_owned(),
        releases: names(Release::ALL.into_iter().filter(|release| sends(&callbacks, *release))),
    };
    missing.map(key).collect()
}

impl LooksLike {
    fn of(commands: &[(&'static Callback, Unknown)]) -> Self {
        // What no release posts comes from something else.
        let is_posted = |(callback, command): &&(&'static Callback, Unknown)| {
            Release::ALL.iter().any(|release| release.posts(callback, &command.name))
        };
        let sent: Vec<_> = commands.iter().filter(is_posted).collect();
        let posts = |release: &Release| sent.iter().all(|(callback, command)| release.posts(callback, &command.name));
        let releases = if sent.is_empty() { Vec::new() } else { names(Release::ALL.into_iter().filter(posts)) };
        Self { releases, commands: sent.len() }
    }
}

fn names(releases: impl Iterator<Item = Release>) -> Vec<String> {
    releases.map(|release| release.as_str().to_owned()).collect()
}

impl From<Unknown> for Name {
    fn from(Unknown { name, count, first_seen, last_seen }: Unknown) -> Self {
        let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
        Self { name, count, first_seen: time(first_seen), last_seen: time(last_seen) }
    }
}
