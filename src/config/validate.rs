//! Checks settings against each other. The checks stand beside the settings that they compare, under `settings`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::builder::Builder;
use super::report::{Finding, Origin};
use super::value::show_time;
use super::{LONGEST_TIMEOUT, OnFailure, Rule, settings};
use crate::contract::Callback;
use crate::failure::Class;

/// A check of settings against each other.
pub(super) type Check = fn(&Builder, &mut Mistakes<'_>);

/// Collects mistakes. One in a setting that has its default is discarded, since no source can be named for it.
pub(super) struct Mistakes<'a> {
    origins: &'a BTreeMap<String, Origin>,
    findings: &'a mut Vec<Finding>,
}

impl Mistakes<'_> {
    /// Adds a mistake in the setting with this path, if a source set it.
    pub(super) fn add(&mut self, path: &str, what: impl Into<String>) {
        self.add_to_first(&[path], what);
    }

    /// Adds a mistake in the first of these settings that a source set; none if all have their defaults.
    pub(super) fn add_to_first(&mut self, paths: &[&str], what: impl Into<String>) {
        let given = paths.iter().find_map(|path| Some((*path, self.origins.get(*path)?)));
        self.findings.extend(given.map(|(path, origin)| Finding::new(origin.clone(), path, what)));
    }
}

/// Adds a finding for every check that fails.
pub(super) fn validate(builder: &mut Builder, findings: &mut Vec<Finding>) {
    let origins = builder.origins.clone();
    let mut mistakes = Mistakes { origins: &origins, findings };
    for setting in settings::general() {
        let Some(needed) = setting.needs else { continue };
        // An explicit default is no mistake: `config print` writes all defaults.
        let has_effect = settings::find(needed).is_some_and(|needed| needed.print(builder).is_some());
        if !has_effect && setting.print(builder) != setting.default {
            mistakes.add(&setting.path, format!("has no effect without {needed}"));
        }
    }
    for check in settings::checks() {
        check(builder, &mut mistakes);
    }
}

/// Adds a mistake if a time is longer than OpenIM waits at most.
pub(super) fn check_longest_time(path: &str, time: Duration, mistakes: &mut Mistakes<'_>) {
    if time > LONGEST_TIMEOUT {
        let (time, limit) = (show_time(time), show_time(LONGEST_TIMEOUT));
        mistakes.add(path, format!("{time} is longer than {limit}, when OpenIM gives up at the latest"));
    }
}

/// Adds warnings about settings that are valid, but probably unintended.
pub(super) fn warn(builder: &Builder, warnings: &mut Vec<Finding>) {
    let exposed = builder.config.listen.tcp().filter(|address| !address.ip().is_loopback());
    if let (Some(address), Some(origin), false) = (exposed, builder.origin("listen"), builder.config.asks_who_calls()) {
        let what = format!(
            "ANYBODY who reaches {address} gets verdicts and feeds events: say who may call (access.passwords, \
             access.paths, access.sources, tls.client_ca)"
        );
        warnings.push(Finding::new(origin.clone(), "listen", what));
    }
    for callback in Callback::all().iter().filter(|callback| callback.fails_open) {
        let Some(own) = builder.callbacks.get(callback.command) else { continue };
        let rules = own.rules.over(OnFailure::all(Rule::Allow));
        let denies = |class: &Class| rules.rule(*class) == Rule::Deny;
        let denied: Vec<_> = Class::ALL.into_iter().filter(denies).map(Class::as_str).collect();
        let path = format!("callbacks.{}.on_failure", own.key);
        if let (false, Some(origin)) = (denied.is_empty(), builder.origin(&path)) {
            let what = format!("denies when the policy fails ({}): {}", denied.join(", "), callback.fail_closed_breaks);
            warnings.push(Finding::new(origin.clone(), path, what));
        }
    }
}
