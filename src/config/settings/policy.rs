//! The failure rules of all callbacks; checks of listeners and the policy service.

use super::Setting;
use crate::config::rules::rules;
use crate::config::validate::{Check, Mistakes};
use crate::config::{Address, Builder};
use crate::contract::Callback;

/// Returns the settings of the failure rules of all callbacks.
pub(super) fn on_failure() -> Vec<Setting> {
    let open: Vec<_> = Callback::all().iter().filter(|row| row.fails_open).map(|row| row.config_key).collect();
    let help = format!(
        "Reply to a Before callback without a verdict: deny or allow, or a list by failure class as in \
         unavailable=allow,deadline=allow. Does not apply to these callbacks, whose denial damages OpenIM's data: they are \
         allowed unless callbacks.NAME.on_failure denies them: {}",
        open.join(", ")
    );
    let mut settings = rules(&help, |builder: &mut Builder| &mut builder.rules);
    let all = settings.remove(0).flag("RULE");
    settings.insert(0, all);
    settings
}

pub(super) const CHECKS: &[Check] = &[builtin_listen_needs_the_builtin_policy, listeners_have_different_addresses];

fn builtin_listen_needs_the_builtin_policy(builder: &Builder, mistakes: &mut Mistakes<'_>) {
    if builder.policy.is_some() {
        mistakes.add("builtin_listen", "has no effect, since policy names another to ask");
    }
}

fn listeners_have_different_addresses(builder: &Builder, mistakes: &mut Mistakes<'_>) {
    let builtin = builder.builtin_listen.filter(|_| builder.policy.is_none()).map(Address::Tcp);
    let config = &builder.config;
    let pairs = [
        ("admin_listen", Some(&config.admin_listen), "listen", &config.listen),
        ("builtin_listen", builtin.as_ref(), "listen", &config.listen),
        ("builtin_listen", builtin.as_ref(), "admin_listen", &config.admin_listen),
    ];
    for (path, address, other_path, other) in pairs {
        if let Some(address) = address.filter(|address| collide(address, other)) {
            let what = format!("listen, admin_listen and builtin_listen need an address each; two take {address}");
            // One of them may have its default.
            mistakes.add_to_first(&[path, other_path], what);
        }
    }
}

/// Returns true if two listeners cannot both have their addresses.
fn collide(one: &Address, other: &Address) -> bool {
    let (Some(one), Some(other)) = (one.tcp(), other.tcp()) else { return one == other };
    let anywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || anywhere)
}
