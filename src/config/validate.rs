//! Validates the settings together: the rules stand beside the settings that they are about.

use std::collections::BTreeMap;
use std::time::Duration;

use super::builder::Builder;
use super::report::{Finding, Origin};
use super::value::show_time;
use super::{LONGEST_TIMEOUT, OnFailure, Rule, settings};
use crate::contract::Callback;
use crate::failure::Class;

/// A rule that settings must keep together.
pub(super) type Check = fn(&Builder, &mut Mistakes<'_>);

/// Collects mistakes in settings. A setting that no source gave is not to blame.
pub(super) struct Mistakes<'a> {
    origins: &'a BTreeMap<String, Origin>,
    findings: &'a mut Vec<Finding>,
}

impl Mistakes<'_> {
    /// Adds a mistake in the setting with this path.
    pub(super) fn add(&mut self, path: &str, what: impl Into<String>) {
        self.add_to_first(&[path], what);
    }

    /// Adds a mistake in the first of these settings that a source gave.
    pub(super) fn add_to_first(&mut self, paths: &[&str], what: impl Into<String>) {
        let given = paths.iter().find_map(|path| Some((*path, self.origins.get(*path)?)));
        self.findings.extend(given.map(|(path, origin)| Finding::new(origin.clone(), path, what)));
    }
}

/// Adds every rule that the settings break to `findings`.
pub(super) fn validate(builder: &mut Builder, findings: &mut Vec<Finding>) {
    let origins = builder.origins.clone();
    let mut mistakes = Mistakes { origins: &origins, findings };
    for setting in settings::general() {
        let Some(needed) = setting.needs else { continue };
        // The default may be given all the same: a printed configuration does.
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

/// Adds a warning for settings that are allowed and probably not meant.
pub(super) fn warn(builder: &Builder, warnings: &mut Vec<Finding>) {
    let beyond = builder.config.listen.tcp().filter(|address| !address.ip().is_loopback());
    if let (Some(address), Some(origin), false) = (beyond, builder.origin("listen"), builder.config.asks_who_calls()) {
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
