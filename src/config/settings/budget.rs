//! The budget of a webhook, and the handling that it is a part of: of all callbacks, and of one.

use std::time::Duration;

use super::settings;
use crate::config::validate::{Check, Mistakes, check_longest_time};
use crate::config::value::time;
use crate::config::{Builder, OnFailure, Rules};

settings! {
    /// The handling of a callback.
    pub struct Handling(""), |builder| builder.config.every;

    /// Time from a webhook's arrival to its reply; less than the timeout in OpenIM's webhooks.yml.
    budget: Duration = Duration::from_millis(4500), time(), flag("TIME");

    fields:
    /// Failure rules of a webhook without a verdict.
    on_failure: OnFailure = OnFailure::default();
}

/// The resolved settings of one callback, which override those of all callbacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// Its budget.
    pub budget: Option<Duration>,
    /// Its failure rules.
    pub on_failure: Rules,
}

pub(super) const CHECKS: &[Check] =
    &[budget_within_openims_longest_timeout, budgets_of_callbacks_within_openims_longest_timeout];

fn budget_within_openims_longest_timeout(builder: &Builder, mistakes: &mut Mistakes<'_>) {
    check_longest_time("budget", builder.config.every.budget, mistakes);
}

fn budgets_of_callbacks_within_openims_longest_timeout(builder: &Builder, mistakes: &mut Mistakes<'_>) {
    // Callbacks of one key have one budget.
    let mut budgets: Vec<(&str, Duration)> =
        builder.callbacks.values().filter_map(|own| Some((&*own.key, own.budget?))).collect();
    budgets.sort();
    budgets.dedup();
    for (key, budget) in budgets {
        check_longest_time(&format!("callbacks.{key}.budget"), budget, mistakes);
    }
}
