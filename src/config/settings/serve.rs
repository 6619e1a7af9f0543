//! Where hookgate listens, whom it asks, how failures are dealt with, and what OpenIM's own file is good for.

use tokio_rustls::rustls::pki_types::ServerName;

use super::{Setting, row};
use crate::config::address::LISTEN;
use crate::config::draft::Draft;
use crate::config::policy_url::POLICY;
use crate::config::rules::{RULE, RULES};
use crate::config::value::{COUNT, FILE, Kind, LOG, MAYBE_ADDRESS, SWITCH, TIME, parts, quoted, show_list};
use crate::contract::Callback;
use crate::failure::Class;

/// A list of hosts as a browser names them, without a port.
const HOSTS: Kind<Vec<String>> = Kind {
    list: true,
    read: |text| parts(text).map(host).collect(),
    show: |hosts| show_list(hosts.iter().map(|host| quoted(host))),
};

fn host(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(ServerName::IpAddress(_)) => Ok(text.to_ascii_lowercase()),
        Ok(_) => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
        Err(_) => Err(format!("{text:?}: expected a host name or an IP address, without a port")),
    }
}

/// The words of `on_failure`.
fn on_failure() -> String {
    let open: Vec<_> = Callback::all().iter().filter(|row| row.fails_open).map(|row| row.config_key).collect();
    format!(
        "What becomes of a Before callback without a verdict: deny or allow, or a list by class of failure as in \
         unavailable=allow,deadline=allow. Does not apply to these, whose denial damages OpenIM's data: they are allowed, \
         unless callbacks.NAME.on_failure denies them: {}",
        open.join(", ")
    )
}

pub(super) fn rows() -> Vec<Setting<Draft>> {
    let mut rows = vec![
        row(
            "listen",
            LISTEN,
            |d| &mut d.config.listen,
            "Where OpenIM posts its webhooks: an address, of which port 0 takes a free one, or a Unix socket as in unix:///run/hookgate.sock",
        )
        .everyday("ADDRESS"),
        row("admin_listen", LISTEN, |d| &mut d.config.admin_listen, "Where health and status are asked for: an address or a Unix socket, as for listen")
            .everyday("ADDRESS"),
        row(
            "admin_hosts",
            HOSTS,
            |d| &mut d.config.admin_hosts,
            "The host names by which hookgate outbox reaches admin_listen, where it is by another than localhost: requests that name any other show no event and change nothing",
        ),
        row(
            "policy",
            POLICY,
            |d| &mut d.policy,
            "The policy service to ask, as in http://policy:50051, https://policy:50051 or unix:///run/policy.sock; builtin is one that allows and logs everything. With a configuration file it must be named, there or here",
        )
        .everyday("URL"),
        row(
            "builtin_listen",
            MAYBE_ADDRESS,
            |d| &mut d.builtin_listen,
            "Where the built-in policy listens, when no other is asked; port 0 takes a free one",
        )
        .everyday("ADDRESS"),
        row(
            "threads",
            COUNT,
            |d| &mut d.config.threads,
            "How many threads answer webhooks. One carries tens of thousands of webhooks a second; with several, each costs a third more",
        )
        .everyday("COUNT"),
        row(
            "log",
            LOG,
            |d| &mut d.config.log,
            "What is logged: error, warn, info, debug or trace, or a list as in info,hookgate=debug",
        )
        .everyday("LEVELS"),
        row(
            "budget",
            TIME,
            |d| &mut d.config.every.budget,
            "The time from a webhook's arrival to its reply; less than the timeout that OpenIM is given",
        )
        .everyday("TIME"),
        row("on_failure", RULES, |d| &mut d.rules, &on_failure())
        .everyday("RULE"),
        row("on_failure.default", RULE, |d| &mut d.rules.default, ""),
    ];
    for class in Class::ALL {
        rows.push(row(&format!("on_failure.{class}"), RULE, move |d| d.rules.class(class), ""));
    }
    rows.extend([
        row(
            "openim.webhooks",
            FILE,
            |d| &mut d.openim.webhooks,
            "OpenIM's own webhooks.yml, whose timeouts become budgets",
        )
        .everyday("FILE"),
        row(
            "openim.margin",
            TIME,
            |d| &mut d.openim.margin,
            "How much earlier than OpenIM's timeout the reply must leave",
        ),
        row(
            "openim.honour_failed_continue",
            SWITCH,
            |d| &mut d.openim.honour_failed_continue,
            "Whether failedContinue: true there makes allow the rule of that callback",
        ),
    ]);
    rows
}
