//! Settings that only a restart can change.

use crate::config::{Config, PolicyService};

/// Keeps the present values of settings that only a restart can change. Returns the names of those that differ.
pub(super) fn keep_restart_only(before: &Config, now: &mut Config) -> Vec<&'static str> {
    // All fields are named, so that a new setting is not forgotten: it is restart-only, read again when it is used, or
    // applied by a subscriber.
    let Config {
        listen,
        admin_listen,
        policy,
        threads,
        traces,
        data,
        after,
        admin_hosts: _,
        log: _,
        every: _,
        callbacks: _,
        denial: _,
        access: _,
        tls: _,
        policy_tls: _,
        limits: _,
        channel: _,
        drain: _,
        decisions: _,
        openim_enables: _,
        files: _,
    } = now;
    let mut kept = Vec::new();
    keep("listen", &before.listen, listen, &mut kept);
    keep("admin_listen", &before.admin_listen, admin_listen, &mut kept);
    keep("threads", &before.threads, threads, &mut kept);
    keep("traces", &before.traces, traces, &mut kept);
    keep("data", &before.data, data, &mut kept);
    keep("after", &before.after, after, &mut kept);
    match (&before.policy, &*policy) {
        (PolicyService::Url(_), PolicyService::Url(_)) => {}
        (PolicyService::BuiltIn(_), PolicyService::BuiltIn(_)) => {
            keep("builtin_listen", &before.policy, policy, &mut kept);
        }
        _ => keep("policy", &before.policy, policy, &mut kept),
    }
    kept
}

fn keep<T: PartialEq + Clone>(path: &'static str, before: &T, now: &mut T, kept: &mut Vec<&'static str>) {
    if now != before {
        now.clone_from(before);
        kept.push(path);
    }
}
