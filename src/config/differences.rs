//! The differences between two configurations.

use std::collections::BTreeSet;

use super::Config;
use super::builder::Builder;
use super::settings;
use crate::contract::Callback;

/// Returns the paths of the settings that differ, and `callbacks.KEY` for callbacks.
pub(crate) fn differences(one: &Config, other: &Config) -> Vec<String> {
    let (mut left, mut right) = (Builder::from(one), Builder::from(other));
    let mut paths: Vec<_> = settings::resolved()
        .filter(|setting| setting.print(&mut left) != setting.print(&mut right))
        .map(|setting| setting.path.clone())
        .collect();
    // In these the contents of files may differ.
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
