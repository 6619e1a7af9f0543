//! Finds access rules and TLS that a reload would drop, and whether the file says expressly that it may.

use super::Config;
use super::load::Loaded;
use super::report::{Finding, Origin};
use super::url::{PolicyService, PolicyUrl};

/// Access rules and TLS that a new configuration no longer has.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Those that only an express `none` may drop.
    pub(crate) refused: Vec<Finding>,
    /// Those beside which others remain, and those of the connection to the policy.
    pub(crate) warnings: Vec<Finding>,
}

/// Compares the configuration in force with that of `file` now. A group whose rules are all gone may have been cut off by
/// accident.
pub(crate) fn losses(file: &str, before: &Config, now: &Loaded) -> Losses {
    let mut losses = Losses::default();
    let finding = |path: &str, what: &str| Finding::new(Origin::File(file.to_owned(), None), path, what);
    let turned_off = |group: &str| now.turned_off.contains(&group);
    if before.tls.is_some() && now.config.tls.is_none() && !turned_off("tls") {
        let what = "is gone, so that webhooks would be taken without TLS; tls: none says that this is meant";
        losses.refused.push(finding("tls", what));
    }
    let has_rules = |config: &Config| config.access.has_rules();
    if has_rules(before) && !has_rules(&now.config) && !turned_off("access") {
        let what = "has no rule any more of who may call; access: none says that this is meant";
        losses.refused.push(finding("access", what));
    }
    let only_certificates = before.asks_who_calls() && !has_rules(before);
    if only_certificates && !now.config.asks_who_calls() && !turned_off("access") && !turned_off("tls") {
        let what = "is gone, and no other rule says who may call; access: none says that this is meant";
        losses.refused.push(finding("tls.client_ca", what));
    }
    let gone = rules(before).into_iter().zip(rules(&now.config)).filter(|((_, before), (_, now))| *before && !now);
    losses.warnings.extend(gone.map(|((path, _), _)| finding(path, "is gone: callers are no longer held to it")));
    losses.warnings.extend(of_policy(before, &now.config).map(|(path, what)| finding(path, what)));
    losses
}

/// Returns the access rules, and true for those that are set.
fn rules(config: &Config) -> [(&'static str, bool); 4] {
    let access = &config.access;
    [
        ("access.passwords", access.passwords.is_some()),
        ("access.paths", access.paths.is_some()),
        ("access.sources", !access.sources.is_empty()),
        ("tls.client_ca", config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())),
    ]
}

/// Returns a warning for each lost check of the policy's certificate.
fn of_policy(before: &Config, now: &Config) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_tls = |config: &Config| matches!(&config.policy, PolicyService::Url(url) if PolicyUrl::is_tls(url));
    let (was, is) = (is_tls(before), is_tls(now));
    let (before, now) = (&before.policy_tls, &now.policy_tls);
    let ca = was && is && before.ca.is_some() && now.ca.is_none();
    let name = was && is && before.server_name.is_some() && now.server_name.is_none();
    [
        (was && !is).then_some(("policy", "is asked without TLS from now on")),
        ca.then_some(("policy_tls.ca", "is gone: the system's authorities are trusted in its place")),
        name.then_some(("policy_tls.server_name", "is gone: the URL's host is the name that is looked for")),
    ]
    .into_iter()
    .flatten()
}
