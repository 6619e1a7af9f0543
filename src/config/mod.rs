//! How hookgate is to run, as it is meant: every value legal, every default filled in.

mod access;
mod address;
mod certificates;
mod client_ca;
mod contradictions;
mod credentials;
mod differences;
mod draft;
mod file;
mod host_url;
mod identity;
mod in_force;
mod leads_here;
mod load;
mod losses;
mod networks;
mod openim;
mod options;
mod policy_url;
mod print;
mod report;
mod rules;
mod settings;
mod tls;
mod value;
mod webhooks_yml;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

pub use access::{Access, Passwords, Paths};
pub use address::Address;
pub(crate) use address::host_and_port;
pub use certificates::{Certificates, days_until};
pub use client_ca::ClientCa;
pub(crate) use differences::differences;
pub(crate) use file::text;
pub use identity::Identity;
pub use in_force::InForce;
pub use load::{Loaded, TextOf};
pub(crate) use losses::{Losses, losses};
pub use options::Options;
pub use policy_url::{PolicyService, PolicyUrl};
pub use print::print;
pub(crate) use report::nearest;
pub use report::{Finding, Origin, Report};
pub use rules::{Handling, OnFailure, Override, Rule, Rules};
pub use settings::{After, Channel, Decisions, DecisionsTo, Denial, Drain, Limits, SyncRule, Traces, WhenFull};
pub(crate) use tls::connector;
pub use tls::{PolicyTls, Roots, ServerTls};
use tracing_subscriber::filter::Targets;

use crate::contract::Callback;
pub(crate) use value::TIME;
pub(crate) use webhooks_yml::LONGEST_TIMEOUT;

/// Everything that is settled before hookgate starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where OpenIM posts its webhooks: an address or a Unix socket.
    pub listen: Address,
    /// Where health and status are asked for: an address or a Unix socket.
    pub admin_listen: Address,
    /// The names by which the events that the admin listener shows may be asked for, besides this machine's own.
    pub admin_hosts: Vec<String>,
    /// Whom to ask.
    pub policy: PolicyService,
    /// How many threads answer webhooks.
    pub threads: usize,
    /// What is logged.
    pub log: Targets,
    /// What a webhook is given and how it fails, without the callbacks' own settings.
    pub every: Handling,
    /// The callbacks that have settings of their own, by command.
    pub callbacks: BTreeMap<&'static str, Override>,
    /// What the API client is told.
    pub denial: Denial,
    /// Who may call.
    pub access: Access,
    /// TLS for those who post webhooks; without it they do so in the clear.
    pub tls: Option<ServerTls>,
    /// TLS to a policy whose URL says so.
    pub policy_tls: PolicyTls,
    /// How much is taken at once.
    pub limits: Limits,
    /// How the policy service is reached.
    pub channel: Channel,
    /// Where After events are kept on disk; without it they are in memory, and a crash loses them.
    pub data: Option<PathBuf>,
    /// How After events are delivered.
    pub after: After,
    /// How it stops.
    pub drain: Drain,
    /// Where spans are sent.
    pub traces: Traces,
    /// The decision log.
    pub decisions: Decisions,
    /// The commands of the callbacks that OpenIM's `webhooks.yml` enables; nothing where it was not read.
    pub openim_enables: Option<BTreeSet<&'static str>>,
}

impl Config {
    /// The handling of a callback; that of every callback for the fallback. A failure rule of the callback's own goes
    /// before the contract's, and that before the rules of every callback.
    pub fn handling(&self, callback: &Callback) -> Handling {
        let Handling { budget, on_failure } = self.every;
        let on_failure = if callback.fails_open { OnFailure::all(Rule::Allow) } else { on_failure };
        match self.callbacks.get(callback.command) {
            None => Handling { budget, on_failure },
            Some(own) => Handling { budget: own.budget.unwrap_or(budget), on_failure: own.on_failure.over(on_failure) },
        }
    }

    /// Whether callers must prove or be anything at all.
    pub fn asks_who_calls(&self) -> bool {
        self.access.has_rules() || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 10006))),
            admin_listen: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 10007))),
            admin_hosts: Vec::new(),
            policy: PolicyService::default(),
            threads: 1,
            log: Targets::new().with_default(tracing::Level::INFO),
            every: Handling::default(),
            callbacks: BTreeMap::new(),
            denial: Denial::default(),
            access: Access::default(),
            tls: None,
            policy_tls: PolicyTls::default(),
            limits: Limits::default(),
            channel: Channel::default(),
            data: None,
            after: After::in_memory(),
            drain: Drain::default(),
            traces: Traces::default(),
            decisions: Decisions::default(),
            openim_enables: None,
        }
    }
}
