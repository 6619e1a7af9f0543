//! Which settings two configurations differ in.

use std::collections::BTreeSet;

use super::Config;
use super::draft::Draft;
use super::settings;
use crate::contract::Callback;

/// The paths of the settings that differ; of a callback whose handling does, its own.
pub fn differences(one: &Config, other: &Config) -> Vec<String> {
    let (mut left, mut right) = (Draft::of_settled(one), Draft::of_settled(other));
    let mut paths: Vec<_> = settings::settled()
        .filter(|setting| setting.show(&mut left) != setting.show(&mut right))
        .map(|setting| setting.path.clone())
        .collect();
    // Of these the files' contents count, which no setting shows.
    let held = [
        ("access", one.access != other.access),
        ("tls", one.tls != other.tls),
        ("policy_tls", one.policy_tls != other.policy_tls),
    ];
    for (group, _) in held.into_iter().filter(|(_, differs)| *differs) {
        if !paths.iter().any(|path| path.split('.').next() == Some(group)) {
            paths.push(group.to_owned());
        }
    }
    let callbacks = Callback::all().iter();
    let handled =
        callbacks.filter(|callback| one.callbacks.get(callback.command) != other.callbacks.get(callback.command));
    let keys: BTreeSet<_> = handled.map(|callback| callback.config_key).collect();
    paths.extend(keys.into_iter().map(|key| format!("callbacks.{key}")));
    paths
}
