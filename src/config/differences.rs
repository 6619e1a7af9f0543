//! Compares two configurations: the settings that differ, and the access rules and TLS that a reload would drop.

use std::collections::BTreeSet;

use super::load::Loaded;
use super::report::{Finding, Origin, Report};
use super::{Config, NamedPolicy, PolicyUrl, settings};
use crate::contract::Callback;

/// A file that was truncated, or is being written, must not take all settings back.
const NO_SETTINGS: &str = "holds no setting any more; a restart takes an empty file";

/// Returns the paths of the settings that differ, and `callbacks.KEY` for callbacks.
pub(crate) fn differences(one: &Config, other: &Config) -> Vec<String> {
    let values = settings::resolved(one).zip(settings::resolved(other));
    let differing = values.filter(|((_, before), (_, now))| before != now);
    let mut paths: Vec<_> = differing.map(|((setting, _), _)| setting.path.clone()).collect();
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
    let named = |config: &Config, name: &str| config.policies.iter().find(|policy| *policy.name == *name).cloned();
    let names: BTreeSet<_> = one.policies.iter().chain(&other.policies).map(|policy| &policy.name).collect();
    let changed = names.into_iter().filter(|name| named(one, name) != named(other, name));
    paths.extend(changed.map(|name| format!("policies.{name}")));
    paths.extend((one.routes != other.routes).then(|| "routes".to_owned()));
    let own = |config: &Config, callback: &Callback| config.callbacks.get(callback.command).cloned();
    let callbacks = Callback::all().iter().filter(|callback| own(one, callback) != own(other, callback));
    let keys: BTreeSet<_> = callbacks.map(|callback| callback.config_key).collect();
    paths.extend(keys.into_iter().map(|key| format!("callbacks.{key}")));
    paths
}

/// Returns warnings of the access rules and TLS that the configuration of `file` no longer has. The error reports losses that
/// may be accidents: a group whose rules are all gone and that no `none` turns off, and a file that has been `emptied`.
pub(crate) fn losses(file: &str, before: &Config, now: &Loaded, emptied: bool) -> Result<Vec<Finding>, Report> {
    let lost = |has: &dyn Fn(&Config) -> bool| has(before) && !has(&now.config);
    let meant = |group: &str| now.turned_off.contains(&group);
    let only_certificates = !before.access.has_rules() && lost(&Config::asks_who_calls);
    let refused = [
        (
            lost(&|config| config.tls.server.is_some()) && !meant("tls"),
            "tls",
            "is gone, so that webhooks would be taken without TLS; tls: none says that this is meant",
        ),
        (
            lost(&|config| config.access.has_rules()) && !meant("access"),
            "access",
            "has no rule any more of who may call; access: none says that this is meant",
        ),
        (
            only_certificates && !meant("access") && !meant("tls"),
            "tls.client_ca",
            "is gone, and no other rule says who may call; access: none says that this is meant",
        ),
        (emptied, "", NO_SETTINGS),
    ];
    let is_tls = |config: &Config| config.policy.as_ref().is_some_and(PolicyUrl::is_tls);
    let stays_tls = is_tls(before) && is_tls(&now.config);
    let gone = "is gone: callers are no longer held to it";
    let roots = "is gone: the system's authorities are trusted in its place";
    let name = "is gone: the URL's host is the name that is looked for";
    let warnings = [
        (lost(&|config| config.access.users.is_some()), "access.passwords", gone),
        (lost(&|config| config.access.secret_paths.is_some()), "access.paths", gone),
        (lost(&|config| !config.access.sources.is_empty()), "access.sources", gone),
        (lost(&|config| config.client_ca().is_some()), "tls.client_ca", gone),
        (lost(&is_tls), "policy", "is asked without TLS from now on"),
        (stays_tls && lost(&|config| config.policy_tls.roots.is_some()), "policy_tls.ca", roots),
        (stays_tls && lost(&|config| config.policy_tls.server_name.is_some()), "policy_tls.server_name", name),
    ];
    let finding = |path: &str, what: &str| Finding::new(Origin::File(file.to_owned(), None), path, what);
    let findings = |losses: &[(bool, &str, &str)]| -> Vec<_> {
        losses.iter().filter(|(lost, ..)| *lost).map(|(_, path, what)| finding(path, what)).collect()
    };
    let refused = findings(&refused);
    if !refused.is_empty() {
        return Err(Report(refused));
    }
    let mut found = findings(&warnings);
    for was in &before.policies {
        let Some(is) = now.config.policies.iter().find(|policy| policy.name == was.name) else { continue };
        let is_tls = |policy: &NamedPolicy| policy.url.as_ref().is_some_and(PolicyUrl::is_tls);
        let gone = match (is_tls(was), is_tls(is)) {
            (true, false) => [(true, "url", "is asked without TLS from now on"), (false, "", "")],
            (true, true) => [
                (was.tls.roots.is_some() && is.tls.roots.is_none(), "tls.ca", roots),
                (was.tls.server_name.is_some() && is.tls.server_name.is_none(), "tls.server_name", name),
            ],
            (false, _) => continue,
        };
        let gone = gone.into_iter().filter(|(lost, ..)| *lost);
        found.extend(gone.map(|(_, key, what)| finding(&format!("policies.{}.{key}", was.name), what)));
    }
    Ok(found)
}
