//! Applies OpenIM's own `webhooks.yml`: its timeouts become budgets, and contradictions are reported.

use super::load::{Loaded, TextOf};
use super::report::{Finding, Origin};
use super::rules::Rules;
use super::value::show_time;
use super::webhooks_yml::{self, WebhooksYml};
use super::{Rule, webhook_url};
use crate::contract::Timing;

/// Reads OpenIM's file, if one is named, and applies it where no other source gave a setting.
pub(super) fn apply(loaded: &mut Loaded, text_of: TextOf<'_>) {
    let Some(file) = loaded.config.openim.webhooks.clone() else { return };
    let openim = match text_of(&file) {
        Ok(text) => webhooks_yml::read(&file.display().to_string(), &text),
        Err(what) => return loaded.mistake("openim.webhooks", what),
    };
    warn(loaded, &openim);
    check_budgets(loaded, &openim);
    apply_timeouts(loaded, &openim);
    apply_failed_continue(loaded, &openim);
    let enabled = openim.callbacks.iter().filter(|webhook| webhook.enabled);
    loaded.config.openim.enables = Some(enabled.map(|webhook| webhook.callback.command).collect());
    loaded.mistakes.extend(openim.mistakes);
    loaded.warnings.extend(openim.warnings);
}

/// Warns of what is enabled in OpenIM and will not work.
fn warn(loaded: &mut Loaded, openim: &WebhooksYml) {
    let of_file = |path: &str, what: &str| Finding::new(Origin::File(openim.name.clone(), None), path, what);
    let enabled: Vec<_> = openim.callbacks.iter().filter(|webhook| webhook.enabled).collect();
    match &openim.url {
        Some((url, origin)) => {
            let odd = webhook_url::warnings(url, &loaded.config);
            loaded.warnings.extend(odd.into_iter().map(|what| Finding::new(origin.clone(), "url", what)));
        }
        None if !enabled.is_empty() => {
            loaded.warnings.push(of_file("url", "not there; OpenIM does not know where to post"));
        }
        None => {}
    }
    if !openim.callbacks.is_empty() && enabled.is_empty() {
        loaded.warnings.push(of_file("", "no callback is enabled; OpenIM asks nothing by this file"));
    }
    let answer_within = loaded.config.after.answer_within;
    let after = enabled.into_iter().filter(|webhook| webhook.callback.timing == Timing::After);
    for webhook in after.filter(|webhook| webhook.timeout < answer_within) {
        let (timeout, wait) = (show_time(webhook.timeout), show_time(answer_within));
        let what = format!("OpenIM waits {timeout}, less than after.answer_within ({wait})");
        loaded.warnings.push(Finding::new(webhook.origin.clone(), format!("{}.timeout", webhook.key), what));
    }
    if loaded.config.openim.honour_failed_continue && loaded.config.on_failure.default.is_some() {
        let what = "has no effect: on_failure has a rule for every callback";
        loaded.warning("openim.honour_failed_continue", what);
    }
}

/// Finds configured budgets that are longer than OpenIM waits.
fn check_budgets(loaded: &mut Loaded, openim: &WebhooksYml) {
    let general = loaded.config.budget;
    let mut shorter = Vec::new();
    for webhook in &openim.callbacks {
        let timeout = show_time(webhook.timeout);
        let own = loaded.config.callbacks.get(webhook.callback.command).and_then(|own| own.budget);
        match own {
            Some(budget) if budget > webhook.timeout => {
                let budget = show_time(budget);
                let what = format!("{budget} is longer than the {timeout} that OpenIM waits ({})", webhook.origin);
                let path = loaded.callback_path(webhook.callback, "budget").unwrap_or_default();
                loaded.mistake(&path, what);
            }
            None if general > webhook.timeout => shorter.push(format!("{} ({timeout})", webhook.key)),
            _ => {}
        }
    }
    if let Some((first, others)) = shorter.split_first() {
        let more = if others.is_empty() { String::new() } else { format!(", and {} more", others.len()) };
        loaded.mistake("budget", format!("{} is longer than OpenIM waits for {first}{more}", show_time(general)));
    }
}

/// Applies OpenIM's timeouts, less the margin, to callbacks without a configured budget.
fn apply_timeouts(loaded: &mut Loaded, openim: &WebhooksYml) {
    if loaded.origins.contains_key("budget") {
        return;
    }
    let margin = loaded.config.openim.margin;
    // If an older key and today's name one callback, the shorter timeout counts: either may be the one in use.
    let mut callbacks: Vec<_> = openim.callbacks.iter().collect();
    callbacks.sort_by_key(|webhook| webhook.timeout);
    for webhook in callbacks {
        let own = loaded.config.callbacks.entry(webhook.callback.command).or_default();
        if own.budget.is_some() {
            continue;
        }
        own.budget = webhook.timeout.checked_sub(margin).filter(|left| !left.is_zero());
        if own.budget.is_some() {
            let path = format!("callbacks.{}.budget", webhook.callback.config_key);
            loaded.origins.insert(path, webhook.origin.clone());
        } else if webhook.callback.timing == Timing::Before {
            // The delivery of an After event is not bound by OpenIM's timeout.
            let (timeout, margin) = (show_time(webhook.timeout), show_time(margin));
            let what = format!("nothing is left of {timeout} after openim.margin ({margin})");
            let path = format!("{}.timeout", webhook.key);
            loaded.add_mistake(Finding::new(webhook.origin.clone(), path, what));
        }
    }
}

/// Applies `failedContinue` to callbacks without failure rules, if the setting says so. A callback that the contract allows
/// on failure does not need it.
fn apply_failed_continue(loaded: &mut Loaded, openim: &WebhooksYml) {
    let general = &loaded.config.on_failure;
    if !loaded.config.openim.honour_failed_continue || general.default.is_some() {
        return;
    }
    for webhook in openim.callbacks.iter().filter(|webhook| !webhook.callback.fails_open) {
        let command = webhook.callback.command;
        // If two keys name one callback, both must say so.
        let mut same = openim.callbacks.iter().filter(|other| other.callback.command == command);
        let own = loaded.config.callbacks.entry(command).or_default();
        if same.all(|other| other.failed_continue) && own.on_failure == Rules::default() {
            own.on_failure.clone_from(general);
            own.on_failure.default = Some(Rule::Allow);
        }
    }
}
