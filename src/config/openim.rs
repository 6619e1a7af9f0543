//! Applies OpenIM's own `webhooks.yml`: its timeouts become budgets, and contradictions are reported.

use std::collections::BTreeMap;
use std::time::Duration;

use super::builder::Builder;
use super::load::TextOf;
use super::report::{Finding, Origin};
use super::rules::Rules;
use super::value::show_time;
use super::webhooks_yml::{self, WebhooksYml};
use super::{Rule, webhook_url};
use crate::contract::{Callback, Timing};

/// The setting of OpenIM's file.
pub(super) const WEBHOOKS: &str = "openim.webhooks";
/// The setting of the time between a reply and OpenIM's timeout.
pub(super) const MARGIN: &str = "openim.margin";
/// The setting that applies `failedContinue`.
pub(super) const HONOUR: &str = "openim.honour_failed_continue";

/// Reads OpenIM's file, if one is named, and applies it where no other source gave a setting.
pub(super) fn apply(
    builder: &mut Builder,
    text_of: TextOf<'_>,
    mistakes: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) {
    let Some(openim) = read(builder, text_of, mistakes) else { return };
    warn(builder, &openim, warnings);
    check_budgets(builder, &openim, mistakes);
    apply_timeouts(builder, &openim, mistakes);
    apply_failed_continue(builder, &openim);
    let enabled = openim.callbacks.iter().filter(|webhook| webhook.enabled);
    builder.config.openim_enables = Some(enabled.map(|webhook| webhook.callback.command).collect());
    mistakes.extend(openim.mistakes);
    warnings.extend(openim.warnings);
}

fn read(builder: &Builder, text_of: TextOf<'_>, mistakes: &mut Vec<Finding>) -> Option<WebhooksYml> {
    let webhooks = builder.openim.webhooks.as_ref()?;
    match text_of(webhooks) {
        Ok(text) => Some(webhooks_yml::read(&webhooks.display().to_string(), &text)),
        Err(what) => {
            let origin = builder.origin(WEBHOOKS)?.clone();
            mistakes.push(Finding::new(origin, WEBHOOKS, what));
            None
        }
    }
}

/// Warns of what is enabled in OpenIM and will not work.
fn warn(builder: &Builder, openim: &WebhooksYml, warnings: &mut Vec<Finding>) {
    let name = |origin: &Origin| match origin {
        Origin::File(name, _) => Origin::File(name.clone(), None),
        other => other.clone(),
    };
    let enabled: Vec<_> = openim.callbacks.iter().filter(|webhook| webhook.enabled).collect();
    match &openim.url {
        Some((url, origin)) => {
            let odd = webhook_url::warnings(url, &builder.config);
            warnings.extend(odd.into_iter().map(|what| Finding::new(origin.clone(), "url", what)));
        }
        None if !enabled.is_empty() => {
            let what = "not there; OpenIM does not know where to post";
            warnings.push(Finding::new(name(&enabled[0].origin), "url", what));
        }
        None => {}
    }
    if let Some(any) = openim.callbacks.first().filter(|_| enabled.is_empty()) {
        warnings.push(Finding::new(name(&any.origin), "", "no callback is enabled; OpenIM asks nothing by this file"));
    }
    let answer_within = builder.config.after.answer_within;
    let too_short = |timing, timeout| timing == Timing::After && timeout < answer_within;
    for webhook in enabled.into_iter().filter(|webhook| too_short(webhook.callback.timing, webhook.timeout)) {
        let (timeout, wait) = (show_time(webhook.timeout), show_time(answer_within));
        let what = format!("OpenIM waits {timeout}, less than after.answer_within ({wait})");
        warnings.push(Finding::new(webhook.origin.clone(), format!("{}.timeout", webhook.key), what));
    }
    if builder.openim.honour_failed_continue && builder.rules.default.is_some() {
        let what = "has no effect: on_failure has a rule for every callback";
        warnings.extend(builder.origin(HONOUR).map(|origin| Finding::new(origin.clone(), HONOUR, what)));
    }
}

/// Finds configured budgets that are longer than OpenIM waits.
fn check_budgets(builder: &Builder, openim: &WebhooksYml, mistakes: &mut Vec<Finding>) {
    let mut general = Vec::new();
    for webhook in &openim.callbacks {
        let own = builder.callbacks.get(webhook.callback.command);
        let timeout = show_time(webhook.timeout);
        match own.and_then(|own| Some((own, own.budget?))) {
            Some((own, budget)) if budget > webhook.timeout => {
                let path = format!("callbacks.{}.budget", own.key);
                let what = format!(
                    "{} is longer than the {timeout} that OpenIM waits ({})",
                    show_time(budget),
                    webhook.origin
                );
                if let Some(origin) = builder.origin(&path) {
                    add_once(mistakes, Finding::new(origin.clone(), path, what));
                }
            }
            None if builder.config.every.budget > webhook.timeout => general.push(webhook),
            _ => {}
        }
    }
    if let (Some(origin), Some(first)) = (builder.origin("budget"), general.first()) {
        let budget = show_time(builder.config.every.budget);
        let more = match general.len() {
            1 => String::new(),
            many => format!(", and {} more", many - 1),
        };
        let timeout = show_time(first.timeout);
        let what = format!("{budget} is longer than OpenIM waits for {} ({timeout}){more}", first.key);
        mistakes.push(Finding::new(origin.clone(), "budget", what));
    }
}

/// Applies OpenIM's timeouts, less the margin, to callbacks without a configured budget.
fn apply_timeouts(builder: &mut Builder, openim: &WebhooksYml, mistakes: &mut Vec<Finding>) {
    if builder.origin("budget").is_some() {
        return;
    }
    let mut taken: BTreeMap<&str, Duration> = BTreeMap::new();
    for webhook in &openim.callbacks {
        let command = webhook.callback.command;
        let own = builder.callbacks.entry(command).or_default();
        // If an older key and today's name one callback, the shorter timeout counts: either may be the one in use.
        let earlier = taken.get(command).copied();
        if earlier.map_or(own.budget.is_some(), |least| least <= webhook.timeout) {
            continue;
        }
        match webhook.timeout.checked_sub(builder.openim.margin).filter(|left| !left.is_zero()) {
            Some(left) => {
                own.budget = Some(left);
                taken.insert(command, webhook.timeout);
                let path = format!("callbacks.{}.budget", webhook.callback.config_key);
                builder.origins.insert(path, webhook.origin.clone());
            }
            None if webhook.callback.timing == Timing::Before => {
                let (timeout, margin) = (show_time(webhook.timeout), show_time(builder.openim.margin));
                let what = format!("nothing is left of {timeout} after {MARGIN} ({margin})");
                add_once(mistakes, Finding::new(webhook.origin.clone(), format!("{}.timeout", webhook.key), what));
            }
            // The delivery of an After event is not bound by OpenIM's timeout.
            None => {}
        }
    }
}

/// Applies `failedContinue` to callbacks without failure rules, if the setting says so. A callback that the contract allows
/// on failure does not need it.
fn apply_failed_continue(builder: &mut Builder, openim: &WebhooksYml) {
    if !builder.openim.honour_failed_continue || builder.rules.default.is_some() {
        return;
    }
    let mut wanted: BTreeMap<&str, bool> = BTreeMap::new();
    for webhook in &openim.callbacks {
        *wanted.entry(webhook.callback.command).or_insert(true) &= webhook.failed_continue;
    }
    let opens = |command: &str| Callback::by_command(command).is_some_and(|callback| callback.fails_open);
    for (command, _) in wanted.into_iter().filter(|(command, wanted)| *wanted && !opens(command)) {
        let own = builder.callbacks.entry(command).or_default();
        if own.rules == Rules::default() {
            own.rules.clone_from(&builder.rules);
            own.rules.default = Some(Rule::Allow);
        }
    }
}

/// Adds a finding once: two callbacks can have one key.
fn add_once(findings: &mut Vec<Finding>, finding: Finding) {
    if !findings.contains(&finding) {
        findings.push(finding);
    }
}
