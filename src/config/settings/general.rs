//! Settings of the whole program and of each call: addresses, the policy, the budget.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tracing_subscriber::filter::Targets;

use super::{
    Access, After, Channel, Decisions, Denial, Drain, Limits, LogFormat, OpenIm, Order, PolicyTls, Tls, Traces,
    settings,
};
use crate::config::address::{self, loopback, policy_url};
use crate::config::value::{Kind, expecting, log_levels, number, path, time};
use crate::config::{Address, ClientCa, Handling, NamedPolicy, Override, PolicyUrl, Routes, Rules};
use crate::contract::Callback;

settings! {
    /// The configuration, resolved: every value is legal, every default filled in.
    pub struct Config(""), |config| *config;

    /// Policy service to ask, as in policy:50051, https://policy:50051 or unix:///run/policy.sock; builtin is one that
    /// allows and logs everything. With a configuration file it must be named, there or here. A reload changes one URL to
    /// another; between builtin and a URL it takes a restart.
    policy: Option<PolicyUrl> = None, policy_url(), value_name = "URL";

    /// Address of the built-in policy, when no other is asked; port 0 takes a free one.
    builtin_listen: SocketAddr = loopback(50051), socket_address(), value_name = "ADDRESS", needs_restart = true;

    /// Address for OpenIM's webhooks: an IP address and a port, of which 0 takes a free one, a port alone as in :10006 for
    /// every IPv4 address, or a Unix socket as in unix:///run/hookgate.sock.
    listen: Address = Address::Tcp(loopback(10006)), listener(), value_name = "ADDRESS", needs_restart = true;

    /// Address of the admin listener, for health, status and metrics: an address or a Unix socket, as for listen.
    admin_listen: Address = Address::Tcp(loopback(10007)), listener(), value_name = "ADDRESS", needs_restart = true;

    /// Host names under which hookgate outbox reaches admin_listen, if it is another than localhost. Requests to other
    /// names are shown no event and change nothing.
    admin_hosts: Vec<String> = Vec::new(), host().list();

    /// Number of threads that answer webhooks. One handles tens of thousands of webhooks a second; with several, each
    /// webhook costs a third more CPU time.
    threads: usize = 1, number("count", 1..=1024, "a whole number from 1 to 1024"), value_name = "COUNT",
        needs_restart = true;

    /// Log level of hookgate's own lines: error, warn, info, debug, trace or off. Other crates are logged where a list names
    /// them, as in debug,h2=info.
    log: Targets = Targets::new().with_default(tracing::Level::INFO), log_levels(), value_name = "LEVELS";

    /// Format of the log: text, or json for one JSON object on each line.
    log_format: LogFormat = LogFormat::Text, Kind::plain("text or json", "text or json"), value_name = "FORMAT",
        needs_restart = true;

    /// Directory for After events, which then survive a crash; without it they are in memory only.
    data: Option<PathBuf> = None, path().optional(), value_name = "DIR", needs_restart = true;

    /// Time from a webhook's arrival to its reply; less than the timeout in OpenIM's webhooks.yml.
    budget: Duration = Duration::from_millis(4500), time(), value_name = "TIME";

    fields:
    /// The failure rules of callbacks without rules of their own; a class without a rule is denied.
    on_failure: Rules = Rules::default();
    /// The callbacks that have settings of their own, by command.
    callbacks: BTreeMap<&'static str, Override> = BTreeMap::new();
    /// The named policies, in the order of the file; empty if `policy` names the only one.
    policies: Vec<NamedPolicy> = Vec::new();
    /// The routes of webhooks.
    routes: Routes = Routes::default();
    /// The use of OpenIM's own configuration.
    openim: OpenIm = OpenIm::default();
    /// The denials that hookgate makes itself.
    denial: Denial = Denial::default();
    /// Access rules for callers.
    access: Access = Access::default();
    /// TLS for webhook clients.
    tls: Tls = Tls::default();
    /// TLS to a policy whose URL begins with `https://`.
    policy_tls: PolicyTls = PolicyTls::default();
    /// Limits of what is served at once.
    limits: Limits = Limits::default();
    /// Connections and calls to the policy service.
    channel: Channel = Channel::default();
    /// Delivery and storage of After events.
    after: After = After::default();
    /// Shutdown.
    drain: Drain = Drain::default();
    /// Export of traces.
    traces: Traces = Traces::default();
    /// The decision log.
    decisions: Decisions = Decisions::default();
}

impl Config {
    /// Returns the handling of a callback. Its own failure rules override the contract's, and these the rules of all
    /// callbacks. The fallback has that of all callbacks.
    pub fn handling(&self, callback: &Callback) -> Handling {
        let own = self.callbacks.get(callback.command).cloned().unwrap_or_default();
        let order = if callback.ordered_by.is_empty() { Order::None } else { own.order.unwrap_or(self.after.order) };
        Handling { budget: own.budget.unwrap_or(self.budget), on_failure: self.rules_for(callback, None), order }
    }

    /// Returns true if not everybody may call: there is an access rule, or client certificates are required.
    pub fn asks_who_calls(&self) -> bool {
        self.access.has_rules() || self.client_ca().is_some()
    }

    /// Returns the authority of client certificates; `None` if none is asked for.
    pub(crate) fn client_ca(&self) -> Option<&Arc<ClientCa>> {
        self.tls.server.as_ref()?.client_ca.as_ref()
    }
}

/// Addresses of listeners.
fn listener() -> Kind<Address> {
    Kind::quoted("address or unix:// path", str::parse)
}

/// IP addresses and ports.
fn socket_address() -> Kind<SocketAddr> {
    let expected = "an IP address and a port, as in 127.0.0.1:50051";
    Kind::quoted("address", expecting(expected, address::socket_address))
}

/// Hosts as a browser names them, without a port.
fn host() -> Kind<String> {
    let read = |text: &str| ServerName::try_from(text).is_ok().then(|| text.trim_end_matches('.').to_ascii_lowercase());
    Kind::quoted("host", expecting("a host name or an IP address, without a port", read))
}
