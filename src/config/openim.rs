//! Applies OpenIM's own `webhooks.yml`: its timeouts become budgets, and contradictions are reported. Checks the URL that OpenIM
//! posts to: whether it leads to our listener, and is let in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::net::IpAddr;

use http::Uri;
use percent_encoding::percent_decode_str;

use super::address::host_and_port;
use super::file::small;
use super::load::{Loaded, TextOf};
use super::report::{Finding, Origin};
use super::rules::Rules;
use super::value::show_time;
use super::webhooks_yml::{self, VARIABLES, WebhooksYml};
use super::{Config, Enabled, Rule};
use crate::contract::Timing;

/// Reads OpenIM's file, if one is named, and applies it where no other source gave a setting.
pub(super) fn apply(loaded: &mut Loaded, text_of: TextOf<'_>) {
    let Some(file) = loaded.config.openim.webhooks.clone() else { return };
    let openim = match small(&file, text_of) {
        Ok(text) => webhooks_yml::read(&file.display().to_string(), &text, variables()),
        Err(what) => return loaded.certain_mistake("openim.webhooks", what),
    };
    warn(loaded, &openim);
    check_budgets(loaded, &openim);
    apply_timeouts(loaded, &openim);
    apply_failed_continue(loaded, &openim);
    let enabled = openim.callbacks.iter().filter(|webhook| webhook.enabled);
    let commands = enabled.map(|webhook| webhook.callback.command).collect();
    loaded.config.openim.enables = Some(Enabled { commands, caveats: openim.caveats });
    loaded.mistakes.extend(openim.mistakes);
    loaded.warnings.extend(openim.warnings);
}

/// Returns OpenIM's own variables, of which it ignores empty ones.
fn variables() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let is_meant = |(name, value): &(String, String)| name.starts_with(VARIABLES) && !value.is_empty();
    env::vars_os().filter_map(text).filter(is_meant).collect()
}

/// Warns of what is enabled in OpenIM and will not work.
fn warn(loaded: &mut Loaded, openim: &WebhooksYml) {
    let of_file = |path: &str, what: &str| Finding::new(Origin::File(openim.name.clone(), None), path, what);
    let enabled: Vec<_> = openim.callbacks.iter().filter(|webhook| webhook.enabled).collect();
    match &openim.url {
        Some((url, origin)) => {
            let odd = url_warnings(url, &loaded.config);
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
            loaded.mistakes.insert(Finding::new(webhook.origin.clone(), path, what));
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
            let path = format!("callbacks.{}.on_failure", webhook.callback.config_key);
            loaded.origins.insert(path, webhook.origin.clone());
        }
    }
}

/// Returns warnings about a URL. Its path and user are not repeated: they may be secret.
fn url_warnings(url: &str, config: &Config) -> Vec<Cow<'static, str>> {
    let Ok(uri) = url.parse::<Uri>() else { return vec!["not a URL; OpenIM can post nothing".into()] };
    if matches!(uri.scheme_str(), Some("http" | "https")) {
        let warnings = [leads_elsewhere(&uri, config), is_refused(&uri, config), ends_oddly(&uri)];
        return warnings.into_iter().flatten().collect();
    }
    let scheme = if config.tls.server.is_some() { "https" } else { "http" };
    let found = uri.scheme_str().map_or_else(|| "no scheme".to_owned(), |scheme| format!("the scheme {scheme}"));
    let place = config.listen.tcp().map_or_else(|| "host".to_owned(), |address| address.to_string());
    vec![format!("{found}, with which OpenIM can post nothing; expected {scheme}://{place}").into()]
}

/// Returns a warning if a URL leads to another address than the listener's, or the listener is spoken to in another way.
fn leads_elsewhere(uri: &Uri, config: &Config) -> Option<Cow<'static, str>> {
    // The address of a proxy in front of a Unix socket is not known here.
    let listen = config.listen.tcp()?;
    let (host, port) = host_and_port(uri);
    match (uri.scheme_str(), config.tls.server.is_some()) {
        (Some("https"), false) => {
            Some("https, which hookgate does not speak without tls.certificate; something before it must".into())
        }
        (Some("http"), true) => Some("http, but hookgate speaks https there (tls.certificate)".into()),
        _ if listen.port() != 0 && port != listen.port() => {
            Some(format!("leads to port {port}, but hookgate listens on {listen}").into())
        }
        _ if !host_leads_to(host, listen.ip()) => {
            Some(format!("leads to {host}, but hookgate listens on {listen}").into())
        }
        _ => None,
    }
}

/// Returns a warning if the command, which OpenIM appends to a URL, will not simply be the last segment of its path.
fn ends_oddly(uri: &Uri) -> Option<Cow<'static, str>> {
    if uri.query().is_some() {
        Some("has a query: OpenIM puts the command behind it, and hookgate finds it there; a path is plainer".into())
    } else if uri.path().len() > 1 && uri.path().ends_with('/') {
        Some("ends in a slash, so paths have two; hookgate takes both".into())
    } else {
        None
    }
}

/// Returns a warning if the access rules refuse what is posted to a URL.
fn is_refused(uri: &Uri, config: &Config) -> Option<Cow<'static, str>> {
    let user = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(user, _)| user);
    // As Go's net/http sends it.
    let user: Option<Vec<u8>> = user.map(|user| percent_decode_str(user).collect());
    if config.access.users.as_ref().is_some_and(|known| !user.is_some_and(|user| known.contain(&user))) {
        return Some("has no user and password of access.passwords, so every webhook is refused".into());
    }
    if config.access.secret_paths.as_ref().is_some_and(|known| known.stripped(uri.path()).is_none()) {
        return Some("does not begin with a path of access.paths, so every webhook is refused".into());
    }
    None
}

/// Returns true if a host may be the listener's.
fn host_leads_to(host: &str, listen: IpAddr) -> bool {
    let localhost = host.eq_ignore_ascii_case("localhost");
    let address = if localhost { Some(IpAddr::from([127, 0, 0, 1])) } else { host.parse().ok() };
    match address {
        _ if listen.is_unspecified() => true,
        Some(address) if address.is_loopback() => listen.is_loopback(),
        Some(address) => address == listen,
        // A name is resolved on OpenIM's machine, and not to a loopback address of this one.
        None => !listen.is_loopback(),
    }
}
