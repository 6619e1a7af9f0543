//! Checks settings against each other.

use std::time::Duration;

use super::load::Loaded;
use super::value::show_time;
use super::{Address, Config, LONGEST_TIMEOUT, NamedPolicy, Order, PolicyUrl, Rule, WhenFull, settings};
use crate::contract::Callback;
use crate::failure::Class;

/// Adds a mistake for every check that fails.
pub(super) fn validate(loaded: &mut Loaded) {
    without_what_they_need(loaded);
    without_effect(loaded);
    listeners_with_one_address(loaded);
    too_long(loaded);
    out_of_proportion(loaded);
}

/// Settings that need a place that lasts, which a cluster is as well as a directory.
const WITH_CLUSTER: [&str; 2] = ["after.dead_age", "after.dead_bytes"];

fn without_what_they_need(loaded: &mut Loaded) {
    for setting in settings::general() {
        let Some(needed) = setting.needs else { continue };
        // An explicit default is no mistake: `config print` writes all defaults.
        let is_kept = !loaded.config.after.store.is_empty() && WITH_CLUSTER.contains(&&*setting.path);
        let has_effect =
            is_kept || settings::find(needed).is_some_and(|needed| (needed.print)(&mut loaded.config).is_some());
        if !has_effect && (setting.print)(&mut loaded.config) != setting.default {
            loaded.mistake(&setting.path, format!("has no effect without {needed}"));
        }
    }
}

fn without_effect(loaded: &mut Loaded) {
    if !loaded.config.asks_builtin() {
        loaded.mistake("builtin_listen", "has no effect, since policy names another to ask");
    }
    if let Address::Unix(_) = loaded.config.listen {
        let what = "has no effect on a Unix socket, which listen is";
        loaded.mistake("access.sources", format!("{what}: its callers have no addresses"));
        loaded.mistake("tls.certificate", what);
    }
    with_a_cluster(loaded);
    for NamedPolicy { name, url, tls, .. } in loaded.config.policies.clone() {
        let path = |key| format!("policies.{name}.tls.{key}");
        if !url.is_some_and(|url| url.is_tls()) {
            for key in ["ca", "certificate", "key", "server_name"] {
                loaded.mistake(&path(key), "has no effect without a url that begins with https://");
            }
        }
        match (tls.certificate, tls.key) {
            (Some(_), None) => loaded.mistake(&path("certificate"), format!("has no effect without {}", path("key"))),
            (None, Some(_)) => loaded.mistake(&path("key"), format!("has no effect without {}", path("certificate"))),
            _ => {}
        }
    }
    if !loaded.config.policy.as_ref().is_some_and(PolicyUrl::is_tls) {
        for path in ["policy_tls.ca", "policy_tls.certificate", "policy_tls.key", "policy_tls.server_name"] {
            loaded.mistake(path, "has no effect without a policy whose URL begins with https://");
        }
    }
}

fn with_a_cluster(loaded: &mut Loaded) {
    let Config { after, .. } = loaded.config.clone();
    if after.store.is_empty() {
        return;
    }
    let policies = loaded.config.policies.clone();
    for (place, policy) in policies.iter().enumerate() {
        let streams = policy.streams(&loaded.config);
        let is_taken = |other: &&NamedPolicy| other.streams(&loaded.config).iter().any(|name| streams.contains(name));
        if let Some(other) = policies[..place].iter().find(is_taken) {
            let what = format!("its streams on the cluster would be those of {}: it needs another name", other.name);
            loaded.mistake(&format!("policies.{}", policy.name), what);
        }
    }
    if !matches!(after.nats.replicas, 1 | 3 | 5) {
        loaded.mistake("after.nats.replicas", "an even number of nodes survives no more than one fewer: 1, 3 or 5");
    }
    if after.when_full == WhenFull::DropDead {
        let what = "drop_dead makes room in data alone: with after.store dead letters have a stream of their own";
        loaded.warning("after.when_full", what);
    }
    let logins = ["after.nats.password", "after.nats.token", "after.nats.nkey", "after.nats.credentials"];
    let given: Vec<_> = logins.into_iter().filter(|path| loaded.origins.contains_key(*path)).collect();
    if let [first, second, ..] = given[..] {
        loaded.mistake(second, format!("{first} is a login too; one is enough"));
    }
}

fn listeners_with_one_address(loaded: &mut Loaded) {
    let Config { listen, admin_listen, builtin_listen, .. } = loaded.config.clone();
    let mut listeners = vec![("listen", listen), ("admin_listen", admin_listen)];
    listeners.extend(loaded.config.asks_builtin().then_some(("builtin_listen", Address::Tcp(builtin_listen))));
    for (place, (path, address)) in listeners.iter().enumerate() {
        for (other_path, _) in listeners[..place].iter().filter(|(_, other)| collide(address, other)) {
            let what = format!("listen, admin_listen and builtin_listen need an address each; two take {address}");
            mistake_in_either(loaded, [path, other_path], what);
        }
    }
}

/// Returns true if two listeners cannot both have their addresses.
fn collide(one: &Address, other: &Address) -> bool {
    let (Some(one), Some(other)) = (one.tcp(), other.tcp()) else { return one == other };
    let anywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || anywhere)
}

/// Adds a mistake for each time that is longer than OpenIM waits at most.
fn too_long(loaded: &mut Loaded) {
    let Config { budget, after, callbacks, .. } = &loaded.config;
    let own = Callback::all().iter().filter_map(|callback| {
        let budget = callbacks.get(callback.command)?.budget?;
        Some((loaded.callback_path(callback, "budget")?, budget))
    });
    let general = [("budget".to_owned(), *budget), ("after.answer_within".to_owned(), after.answer_within)];
    let times: Vec<(String, Duration)> = general.into_iter().chain(own).collect();
    for (path, time) in times.into_iter().filter(|(_, time)| *time > LONGEST_TIMEOUT) {
        let (time, limit) = (show_time(time), show_time(LONGEST_TIMEOUT));
        loaded.mistake(&path, format!("{time} is longer than {limit}, when OpenIM gives up at the latest"));
    }
}

fn out_of_proportion(loaded: &mut Loaded) {
    let Config { limits, after, .. } = loaded.config.clone();
    if limits.memory / 3 < limits.body {
        let what = "limits.memory is less than three times limits.body: the largest body could not be held";
        mistake_in_either(loaded, ["limits.memory", "limits.body"], what);
    }
    if after.retry_min > after.retry_max {
        let (min, max) = (show_time(after.retry_min), show_time(after.retry_max));
        let what = format!("after.retry_min ({min}) is longer than after.retry_max ({max})");
        mistake_in_either(loaded, ["after.retry_min", "after.retry_max"], what);
    }
    if after.bytes < limits.body {
        let what = "after.bytes is less than limits.body: the largest After event could not be kept";
        mistake_in_either(loaded, ["after.bytes", "limits.body"], what);
    }
}

/// Adds a mistake in the first of two settings, or in the second if the first has its default.
fn mistake_in_either(loaded: &mut Loaded, [first, second]: [&str; 2], what: impl Into<String>) {
    let path = if loaded.origins.contains_key(first) { first } else { second };
    loaded.mistake(path, what);
}

/// Adds warnings about settings that are valid, but probably unintended.
pub(super) fn warn(loaded: &mut Loaded) {
    let exposed = loaded.config.listen.tcp().filter(|address| !address.ip().is_loopback());
    if let (Some(address), false) = (exposed, loaded.config.asks_who_calls()) {
        let what = format!(
            "ANYBODY who reaches {address} gets verdicts and feeds events: say who may call (access.passwords, \
             access.paths, access.sources, tls.client_ca)"
        );
        loaded.warning("listen", what);
    }
    if !loaded.config.after.store.is_empty() {
        let is_ordered = |callback: &&Callback| loaded.config.handling(callback).order == Order::Key;
        let ordered = Callback::all().iter().filter(is_ordered).count();
        if ordered > 0 && !loaded.config.after.answer_within.is_zero() {
            let what = format!(
                "after.answer_within has no effect on the {ordered} callbacks whose events have an order: they are kept before \
                 they are delivered, and their reply is an allow"
            );
            loaded.warning("after.store", what);
        }
        if loaded.config.data.is_none() {
            let what = "without --data, events are in memory alone while the cluster takes none";
            loaded.warning("after.store", what);
        }
        if loaded.config.after.nats.replicas < 3 {
            let what = format!(
                "{} copy of each event: it is as safe as the disk of one node, and while that is away nothing is delivered",
                loaded.config.after.nats.replicas
            );
            loaded.warning("after.nats.replicas", what);
        }
    }
    for callback in Callback::all().iter().filter(|callback| callback.fails_open) {
        let Some(path) = loaded.callback_path(callback, "on_failure") else { continue };
        let rules = loaded.config.handling(callback).on_failure;
        let denied: Vec<_> = Class::ALL.into_iter().filter(|class| rules.rule(*class) == Rule::Deny).collect();
        if !denied.is_empty() {
            let denied = denied.into_iter().map(Class::as_str).collect::<Vec<_>>().join(", ");
            let what = format!("denies when the policy fails ({denied}): {}", callback.fail_closed_breaks);
            loaded.warning(&path, what);
        }
    }
}
