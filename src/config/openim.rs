//! What OpenIM's own configuration changes about ours, what it contradicts, and what in it will not work.

use std::collections::BTreeMap;
use std::time::Duration;

use super::draft::Draft;
use super::load::TextOf;
use super::report::{Finding, Origin};
use super::rules::Rules;
use super::value::show_time;
use super::webhooks_yml::{self, WebhooksYml};
use super::{Rule, leads_here};
use crate::contract::{Callback, Timing};

/// The setting that names OpenIM's file.
pub const WEBHOOKS: &str = "openim.webhooks";
/// The setting of how much earlier than OpenIM's timeout a reply must leave.
pub const MARGIN: &str = "openim.margin";
/// The setting that makes `failedContinue` count.
pub const HONOUR: &str = "openim.honour_failed_continue";

/// Reads OpenIM's file, if one is named, and takes what nobody said otherwise.
pub fn apply(draft: &mut Draft, text_of: TextOf<'_>, mistakes: &mut Vec<Finding>, warnings: &mut Vec<Finding>) {
    let Some(openim) = read(draft, text_of, mistakes) else { return };
    oddities(draft, &openim, warnings);
    limits(draft, &openim, mistakes);
    budgets(draft, &openim, mistakes);
    wishes(draft, &openim);
    let enabled = openim.callbacks.iter().filter(|webhook| webhook.enabled);
    draft.config.openim_enables = Some(enabled.map(|webhook| webhook.callback.command).collect());
    mistakes.extend(openim.mistakes);
    warnings.extend(openim.warnings);
}

fn read(draft: &Draft, text_of: TextOf<'_>, mistakes: &mut Vec<Finding>) -> Option<WebhooksYml> {
    let webhooks = draft.openim.webhooks.as_ref()?;
    match text_of(webhooks) {
        Ok(text) => Some(webhooks_yml::read(&webhooks.display().to_string(), &text)),
        Err(what) => {
            // Somebody named the file.
            let origin = draft.said(WEBHOOKS)?.clone();
            mistakes.push(Finding::new(origin, WEBHOOKS, what));
            None
        }
    }
}

/// What is enabled in OpenIM and will not work.
fn oddities(draft: &Draft, openim: &WebhooksYml, warnings: &mut Vec<Finding>) {
    let name = |origin: &Origin| match origin {
        Origin::File(name, _) => Origin::File(name.clone(), None),
        other => other.clone(),
    };
    let enabled: Vec<_> = openim.callbacks.iter().filter(|webhook| webhook.enabled).collect();
    match &openim.url {
        Some((url, origin)) => {
            let odd = leads_here::oddities(url, &draft.config);
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
    let patience = draft.config.after.answer_within;
    let hasty = |timing, timeout| timing == Timing::After && timeout < patience;
    for webhook in enabled.into_iter().filter(|webhook| hasty(webhook.callback.timing, webhook.timeout)) {
        let (timeout, patience) = (show_time(webhook.timeout), show_time(patience));
        let what = format!("OpenIM waits {timeout}, less than after.answer_within ({patience})");
        warnings.push(Finding::new(webhook.origin.clone(), format!("{}.timeout", webhook.key), what));
    }
    if draft.openim.honour_failed_continue && draft.rules.default.is_some() {
        let what = "has no effect: on_failure has a rule for every callback";
        warnings.extend(draft.said(HONOUR).map(|origin| Finding::new(origin.clone(), HONOUR, what)));
    }
}

/// Budgets that somebody set, and that are longer than OpenIM waits.
fn limits(draft: &Draft, openim: &WebhooksYml, mistakes: &mut Vec<Finding>) {
    let mut general = Vec::new();
    for webhook in &openim.callbacks {
        let own = draft.callbacks.get(webhook.callback.command);
        let timeout = show_time(webhook.timeout);
        match own.and_then(|own| Some((own, own.budget?))) {
            Some((own, budget)) if budget > webhook.timeout => {
                let path = format!("callbacks.{}.budget", own.key);
                let what = format!(
                    "{} is longer than the {timeout} that OpenIM waits ({})",
                    show_time(budget),
                    webhook.origin
                );
                if let Some(origin) = draft.said(&path) {
                    say_once(mistakes, Finding::new(origin.clone(), path, what));
                }
            }
            None if draft.config.every.budget > webhook.timeout => general.push(webhook),
            _ => {}
        }
    }
    if let (Some(origin), Some(first)) = (draft.said("budget"), general.first()) {
        let budget = show_time(draft.config.every.budget);
        let more = match general.len() {
            1 => String::new(),
            many => format!(", and {} more", many - 1),
        };
        let timeout = show_time(first.timeout);
        let what = format!("{budget} is longer than OpenIM waits for {} ({timeout}){more}", first.key);
        mistakes.push(Finding::new(origin.clone(), "budget", what));
    }
}

/// OpenIM's timeouts less the margin, where nobody said otherwise.
fn budgets(draft: &mut Draft, openim: &WebhooksYml, mistakes: &mut Vec<Finding>) {
    if draft.said("budget").is_some() {
        return;
    }
    let mut taken: BTreeMap<&str, Duration> = BTreeMap::new();
    for webhook in &openim.callbacks {
        let command = webhook.callback.command;
        let own = draft.callbacks.entry(command).or_default();
        // An older key and today's can stand for one callback; nobody knows which one its server reads.
        let earlier = taken.get(command).copied();
        if earlier.map_or(own.budget.is_some(), |least| least <= webhook.timeout) {
            continue;
        }
        match webhook.timeout.checked_sub(draft.openim.margin).filter(|left| !left.is_zero()) {
            Some(left) => {
                own.budget = Some(left);
                taken.insert(command, webhook.timeout);
                let path = format!("callbacks.{}.budget", webhook.callback.config_key);
                draft.origins.insert(path, webhook.origin.clone());
            }
            None if webhook.callback.timing == Timing::Before => {
                let (timeout, margin) = (show_time(webhook.timeout), show_time(draft.openim.margin));
                let what = format!("nothing is left of {timeout} after {MARGIN} ({margin})");
                say_once(mistakes, Finding::new(webhook.origin.clone(), format!("{}.timeout", webhook.key), what));
            }
            // OpenIM's patience does not bound the delivery of an After event.
            None => {}
        }
    }
}

/// `failedContinue`, if that is to count, beneath everything that was said of failures. A callback that the contract
/// allows on failure is allowed without it.
fn wishes(draft: &mut Draft, openim: &WebhooksYml) {
    if !draft.openim.honour_failed_continue || draft.rules.default.is_some() {
        return;
    }
    let mut wishes: BTreeMap<&str, bool> = BTreeMap::new();
    for webhook in &openim.callbacks {
        *wishes.entry(webhook.callback.command).or_insert(true) &= webhook.failed_continue;
    }
    let opens = |command: &str| Callback::by_command(command).is_some_and(|callback| callback.fails_open);
    for (command, _) in wishes.into_iter().filter(|(command, wish)| *wish && !opens(command)) {
        let own = draft.callbacks.entry(command).or_default();
        if own.rules == Rules::default() {
            own.rules.clone_from(&draft.rules);
            own.rules.default = Some(Rule::Allow);
        }
    }
}

/// Two callbacks can have one key, and what is wrong with that is wrong once.
fn say_once(findings: &mut Vec<Finding>, finding: Finding) {
    if !findings.contains(&finding) {
        findings.push(finding);
    }
}
