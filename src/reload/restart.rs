//! Settings that only a restart can change.

use crate::config::Config;

/// Keeps the present values of settings that only a restart can change. Returns the names of those that differ.
pub(super) fn keep_restart_only(before: &Config, now: &mut Config) -> Vec<String> {
    let mut kept = Vec::new();
    keep("listen", &before.listen, &mut now.listen, &mut kept);
    keep("admin_listen", &before.admin_listen, &mut now.admin_listen, &mut kept);
    keep("log_format", &before.log_format, &mut now.log_format, &mut kept);
    keep("threads", &before.threads, &mut now.threads, &mut kept);
    keep("traces", &before.traces, &mut now.traces, &mut kept);
    keep("data", &before.data, &mut now.data, &mut kept);
    keep("after", &before.after, &mut now.after, &mut kept);
    if !before.policies.is_empty() || !now.policies.is_empty() {
        keep_named(before, now, &mut kept);
        return kept;
    }
    match (&before.policy, &now.policy) {
        (Some(_), Some(_)) => {}
        (None, None) => keep("builtin_listen", &before.builtin_listen, &mut now.builtin_listen, &mut kept),
        _ => {
            keep("policy", &before.policy, &mut now.policy, &mut kept);
            now.builtin_listen = before.builtin_listen;
            now.policy_tls.clone_from(&before.policy_tls);
        }
    }
    kept
}

/// Keeps the names of the policies and what refers to them: a reload changes settings of a policy, and not which there are.
fn keep_named(before: &Config, now: &mut Config, kept: &mut Vec<String>) {
    let kinds = |config: &Config| -> Vec<_> {
        config.policies().iter().map(|policy| (policy.name.clone(), policy.url.is_none())).collect()
    };
    keep("builtin_listen", &before.builtin_listen, &mut now.builtin_listen, kept);
    if before.policies.is_empty() == now.policies.is_empty() && kinds(before) == kinds(now) {
        return;
    }
    keep("policy", &before.policy, &mut now.policy, kept);
    keep("policies", &before.policies, &mut now.policies, kept);
    keep("routes", &before.routes, &mut now.routes, kept);
    now.policy_tls.clone_from(&before.policy_tls);
}

fn keep<T: PartialEq + Clone>(path: &str, before: &T, now: &mut T, kept: &mut Vec<String>) {
    if now != before {
        now.clone_from(before);
        kept.push(path.to_owned());
    }
}
