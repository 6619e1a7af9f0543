//! What a running hookgate cannot change about itself.

use crate::config::{Config, PolicyService};

/// The settings that only a restart can change, of those that differ.
pub(super) fn that_need_a_restart(before: &Config, now: &Config) -> Vec<&'static str> {
    let url = |config: &Config| matches!(config.policy, PolicyService::Url(_));
    let fixed = [
        ("listen", before.listen != now.listen),
        ("admin_listen", before.admin_listen != now.admin_listen),
        ("threads", before.threads != now.threads),
        ("traces", before.traces != now.traces),
        ("policy", url(before) != url(now)),
        ("builtin_listen", !url(before) && !url(now) && before.policy != now.policy),
    ];
    fixed.into_iter().filter(|(_, changed)| *changed).map(|(path, _)| path).collect()
}
