//! The configuration: read from OpenIM's file, `hookgate.yaml`, variables and flags; validated; printed.
//!
//! - `settings`: every setting, declared once; the rules that settings must keep together.
//! - `value`, `address`, `url`, `networks`, `rules`: the kinds of values.
//! - `load`: reads all sources in order, into a `builder`: `options` (flags and variables), `file` over `yaml`
//!   (`hookgate.yaml`), `openim` over `webhooks_yml` (OpenIM's file), `credentials` (the files that settings name).
//! - `validate`, `webhook_url`, `losses`: what is wrong, or probably not meant; `report`: one line for each finding.
//! - `access`, `certificates`, `client_ca`, `identity`, `tls`: secrets and TLS.
//! - `print`, `init`, `differences`: a configuration as YAML, a file to start from, and changes between two.
//! - `in_force`: the configuration that requests are served with, which a reload replaces.

mod access;
mod address;
mod builder;
mod certificates;
mod client_ca;
mod credentials;
mod differences;
mod file;
mod handle;
mod identity;
mod init;
mod load;
mod losses;
mod networks;
mod openim;
mod options;
mod print;
mod report;
mod rules;
mod settings;
mod tls;
mod url;
mod validate;
mod value;
mod webhook_url;
mod webhooks_yml;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio_rustls::rustls::pki_types::ServerName;
use tracing_subscriber::filter::Targets;

pub use access::{Passwords, Paths};
pub use address::Address;
use address::loopback;
use builder::{Builder, Files};
pub use certificates::{Certificates, days_until};
pub use client_ca::ClientCa;
pub(crate) use differences::differences;
pub(crate) use file::text;
pub use handle::ConfigHandle;
pub use identity::Identity;
pub(crate) use init::init;
pub use load::{Loaded, TextOf};
pub(crate) use losses::{Losses, losses};
pub use options::Options;
pub use print::print;
pub(crate) use report::nearest;
pub use report::{Finding, Origin, Report};
pub use rules::{OnFailure, Rule, Rules};
pub use settings::{
    Access, After, Channel, Decisions, DecisionsTo, Denial, Drain, Handling, Limits, Override, PolicyTls, SyncRule,
    Traces, WhenFull,
};
pub use settings::{Setting, general as all_settings, of_callback as callback_settings};
pub(crate) use tls::connector;
pub use tls::{Roots, ServerTls};
pub(crate) use url::host_and_port;
pub use url::{PolicyService, PolicyUrl};
pub(crate) use value::parse_time;
pub(crate) use webhooks_yml::LONGEST_TIMEOUT;

use crate::contract::Callback;
pub use crate::failure::Class;
use settings::settings;
use value::{Kind, log_levels, number, path, quoted, text as text_of};

settings! {
    /// The configuration, resolved: every value is legal, every default filled in.
    pub struct Config(""), |builder| builder.config;

    /// Address for OpenIM's webhooks: an IP address and a port, of which 0 takes a free one, or a Unix socket as in
    /// unix:///run/hookgate.sock.
    listen: Address = Address::Tcp(loopback(10006)), text_of("address or unix:// path"), flag("ADDRESS"), needs_restart();

    /// Address of the admin listener, for health, status and metrics: an address or a Unix socket, as for listen.
    admin_listen: Address = Address::Tcp(loopback(10007)), text_of("address or unix:// path"), flag("ADDRESS"),
        needs_restart();

    /// Host names under which hookgate outbox reaches admin_listen, if it is another than localhost. Requests to other
    /// names are shown no event and change nothing.
    admin_hosts: Vec<String> = Vec::new(), host().list();

    /// Number of threads that answer webhooks. One handles tens of thousands of webhooks a second; with several, each
    /// webhook costs a third more CPU time.
    threads: usize = 1, number("count", 1..=1024, "a whole number from 1 to 1024"), flag("COUNT"), needs_restart();

    /// Log level: error, warn, info, debug or trace, or a list as in info,hookgate=debug.
    log: Targets = Targets::new().with_default(tracing::Level::INFO), log_levels(), flag("LEVELS");

    /// Directory for After events, which then survive a crash; without it they are in memory only.
    data: Option<PathBuf> = None, path().optional(), flag("DIR"), needs_restart();

    fields:
    /// The policy service to ask.
    policy: PolicyService = PolicyService::default();
    /// The handling of callbacks without settings of their own.
    every: Handling = Handling::default();
    /// The callbacks that have settings of their own, by command.
    callbacks: BTreeMap<&'static str, Override> = BTreeMap::new();
    /// The denials that hookgate makes itself.
    denial: Denial = Denial::default();
    /// Access rules for callers.
    access: Access = Access::default();
    /// TLS for webhook clients; `None` accepts plain HTTP.
    tls: Option<ServerTls> = None;
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
    /// The commands of the callbacks that OpenIM's `webhooks.yml` enables; `None` if it was not read.
    openim_enables: Option<BTreeSet<&'static str>> = None;
    /// The files that `access`, `tls` and `policy_tls` were read from.
    files: Files = Files::default();
}

impl Config {
    /// Returns the handling of a callback. Its own failure rules override the contract's, and these the rules of all
    /// callbacks. The fallback has that of all callbacks.
    pub fn handling(&self, callback: &Callback) -> Handling {
        let Handling { budget, on_failure } = self.every;
        let on_failure = if callback.fails_open { OnFailure::all(Rule::Allow) } else { on_failure };
        match self.callbacks.get(callback.command) {
            None => Handling { budget, on_failure },
            Some(own) => Handling { budget: own.budget.unwrap_or(budget), on_failure: own.on_failure.over(on_failure) },
        }
    }

    /// Returns true if not everybody may call: there is an access rule, or client certificates are required.
    pub fn asks_who_calls(&self) -> bool {
        self.access.has_rules() || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }
}

/// Hosts as a browser names them, without a port.
fn host() -> Kind<String> {
    let read = |text: &str| match ServerName::try_from(text) {
        Ok(ServerName::IpAddress(_)) => Ok(text.to_ascii_lowercase()),
        Ok(_) => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
        Err(_) => Err(format!("{text:?}: expected a host name or an IP address, without a port")),
    };
    Kind::new("host", read, |host: &String| quoted(host))
}
