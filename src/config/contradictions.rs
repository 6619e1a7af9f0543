//! Settings that cannot be meant together, or not beside OpenIM.

use std::time::Duration;

use super::draft::Draft;
use super::openim::{HONOUR, MARGIN, WEBHOOKS};
use super::policy_url::PolicyUrl;
use super::report::Finding;
use super::value::show_time;
use super::{Address, After, LONGEST_TIMEOUT, OnFailure, Rule};
use crate::contract::Callback;
use crate::failure::Class;

/// More threads than any machine has cores for would only take its memory.
const MOST_THREADS: usize = 1024;

/// Finds them all.
pub fn find(draft: &Draft, mistakes: &mut Vec<Finding>) {
    let mut wrong = |path: &str, what: String| {
        if let Some(origin) = draft.said(path) {
            mistakes.push(Finding::new(origin.clone(), path, what));
        }
    };
    if draft.policy.is_some() {
        wrong("builtin_listen", "has no effect, since policy names another to ask".to_owned());
    }
    let builtin = draft.builtin_listen.filter(|_| draft.policy.is_none()).map(Address::Tcp);
    let listeners = [
        ("listen", Some(&draft.config.listen)),
        ("admin_listen", Some(&draft.config.admin_listen)),
        ("builtin_listen", builtin.as_ref()),
    ];
    for (place, (path, address)) in listeners.iter().enumerate() {
        for (other, taken) in &listeners[..place] {
            if let Some((address, _)) = address.zip(*taken).filter(|(address, taken)| collide(address, taken)) {
                // One of them may be a default; whoever said the other hears of it.
                let path = if draft.said(path).is_some() { path } else { other };
                wrong(
                    path,
                    format!("listen, admin_listen and builtin_listen need an address each; two take {address}"),
                );
            }
        }
    }
    security(draft, &mut wrong);
    if draft.config.threads > MOST_THREADS {
        wrong("threads", format!("is {}; {MOST_THREADS} are the most", draft.config.threads));
    }
    let after = &draft.config.after;
    if after.retry_min > after.retry_max {
        let (min, max) = (show_time(after.retry_min), show_time(after.retry_max));
        let path = if draft.said("after.retry_min").is_some() { "after.retry_min" } else { "after.retry_max" };
        wrong(path, format!("after.retry_min ({min}) is longer than after.retry_max ({max})"));
    }
    if after.bytes < draft.config.limits.body {
        let path = if draft.said("after.bytes").is_some() { "after.bytes" } else { "limits.body" };
        wrong(path, "after.bytes is less than limits.body: the largest After event could not be kept".to_owned());
    }
    let limits = &draft.config.limits;
    if limits.memory / 3 < limits.body {
        let path = if draft.said("limits.memory").is_some() { "limits.memory" } else { "limits.body" };
        wrong(
            path,
            "limits.memory is less than three times limits.body: the largest body could not be held".to_owned(),
        );
    }
    if draft.config.data.is_none() {
        let (after, plain) = (&draft.config.after, After::in_memory());
        for (path, said) in [
            // What is printed of it reads back, so the default may be said.
            ("after.sync", after.sync != plain.sync),
            ("after.when_full", after.when_full != plain.when_full),
            ("after.dead_age", after.dead_age != plain.dead_age),
            ("after.dead_bytes", after.dead_bytes != plain.dead_bytes),
        ] {
            if said {
                wrong(path, "has no effect without data".to_owned());
            }
        }
    }
    if draft.openim.webhooks.is_none() {
        wrong(MARGIN, format!("has no effect without {WEBHOOKS}"));
        if draft.openim.honour_failed_continue {
            wrong(HONOUR, format!("has no effect without {WEBHOOKS}"));
        }
    }
    let decisions = &draft.config.decisions;
    if decisions.to.is_none() {
        // As printed, it says what is so anyway.
        for (path, said) in [("decisions.allows", decisions.allows < 1.0), ("decisions.fields", true)] {
            if said {
                wrong(path, "has no effect without decisions.to".to_owned());
            }
        }
    }
    let limit = show_time(LONGEST_TIMEOUT);
    let mut longer = |path: &str, time: Duration| {
        if time > LONGEST_TIMEOUT {
            wrong(path, format!("{} is longer than {limit}, when OpenIM gives up at the latest", show_time(time)));
        }
    };
    longer("budget", draft.config.every.budget);
    longer("after.answer_within", after.answer_within);
    let mut told = Vec::new();
    for own in draft.callbacks.values().filter(|own| own.budget.is_some()) {
        if !told.contains(&&own.key) {
            told.push(&own.key);
            longer(&format!("callbacks.{}.budget", own.key), own.budget.unwrap_or_default());
        }
    }
}

/// Of who may call, and of TLS.
fn security(draft: &Draft, wrong: &mut impl FnMut(&str, String)) {
    let files = &draft.files;
    let mut needs = |path: &str, other: &str, fulfilled: bool| {
        if !fulfilled {
            wrong(path, format!("has no effect without {other}"));
        }
    };
    needs("tls.certificate", "tls.key", files.key.is_some());
    needs("tls.key", "tls.certificate", files.certificate.is_some());
    needs("tls.client_ca", "tls.certificate", files.certificate.is_some());
    needs("access.trusted_proxies", "access.sources", !draft.config.access.sources.is_empty());
    needs("policy_tls.certificate", "policy_tls.key", files.policy_key.is_some());
    needs("policy_tls.key", "policy_tls.certificate", files.policy_certificate.is_some());
    let policy_tls = draft.policy.as_ref().is_some_and(PolicyUrl::is_tls);
    for key in ["ca", "certificate", "key", "server_name"] {
        needs(&format!("policy_tls.{key}"), "a policy whose URL begins with https://", policy_tls);
    }
    if let Address::Unix(_) = &draft.config.listen {
        wrong("tls.certificate", "has no effect on a Unix socket, which listen is".to_owned());
        wrong(
            "access.sources",
            "has no effect on a Unix socket, which listen is: nobody there has an address".to_owned(),
        );
    }
}

/// What is allowed and hardly meant.
pub fn doubts(draft: &Draft, warnings: &mut Vec<Finding>) {
    let beyond = draft.config.listen.tcp().filter(|address| !address.ip().is_loopback());
    if let (Some(address), Some(origin), false) = (beyond, draft.said("listen"), draft.config.asks_who_calls()) {
        let what = format!(
            "ANYBODY who reaches {address} gets verdicts and feeds events: say who may call (access.passwords, \
             access.paths, access.sources, tls.client_ca)"
        );
        warnings.push(Finding::new(origin.clone(), "listen", what));
    }
    for callback in Callback::all().iter().filter(|callback| callback.fails_open) {
        let Some(own) = draft.callbacks.get(callback.command) else { continue };
        let rules = own.rules.over(OnFailure::all(Rule::Allow));
        let denies = |class: &Class| rules.rule(*class) == Rule::Deny;
        let denied: Vec<_> = Class::ALL.into_iter().filter(denies).map(Class::as_str).collect();
        let path = format!("callbacks.{}.on_failure", own.key);
        if let (false, Some(origin)) = (denied.is_empty(), draft.said(&path)) {
            let what = format!("denies when the policy fails ({}): {}", denied.join(", "), callback.fail_closed_breaks);
            warnings.push(Finding::new(origin.clone(), path, what));
        }
    }
}

/// Whether two listeners cannot both have what they ask for.
fn collide(one: &Address, other: &Address) -> bool {
    let (Some(one), Some(other)) = (one.tcp(), other.tcp()) else { return one == other };
    let anywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || anywhere)
}
