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
mod identity;
mod in_force;
mod leads_here;
mod load;
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
use std::time::{Duration, SystemTime};

pub use access::{Access, Passwords, Paths};
pub use address::Address;
pub use certificates::{Certificates, days_until};
pub use client_ca::ClientCa;
pub(crate) use differences::differences;
pub(crate) use file::text;
use http::Uri;
pub use identity::Identity;
pub use in_force::InForce;
pub use load::{Loaded, TextOf};
pub use options::Options;
pub use policy_url::PolicyUrl;
pub use print::print;
pub(crate) use report::nearest;
pub use report::{Finding, Origin, Report};
pub use settings::{After, SyncRule, WhenFull};
pub(crate) use tls::connector;
pub use tls::{PolicyTls, Roots, ServerTls};
use tracing_subscriber::filter::Targets;

use crate::callback::Callback;
use crate::error::Class;
pub(crate) use value::TIME;

/// Everything that is settled before hookgate starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where OpenIM posts its webhooks.
    pub listen: Address,
    /// Where health and status are asked for.
    pub admin_listen: Address,
    /// Whom to ask.
    pub policy: PolicyService,
    /// How many threads answer webhooks.
    pub threads: usize,
    /// What is logged.
    pub log: Targets,
    /// What a webhook is given and how it fails, without the callbacks' own settings.
    pub every: Handling,
    /// The callbacks whose handling is not `every`'s, by command.
    pub callbacks: BTreeMap<&'static str, Handling>,
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

/// The policy service.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyService {
    /// The built-in one, listening here.
    BuiltIn(SocketAddr),
    /// The operator's, at this URL.
    Url(PolicyUrl),
}

/// The handling of a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handling {
    /// The time from a webhook's arrival to its reply.
    pub budget: Duration,
    /// What becomes of a webhook without a verdict, for each class of failure.
    pub on_failure: OnFailure,
}

/// A failure rule for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnFailure([Rule; Class::ALL.len()]);

/// What becomes of a webhook that has no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Rule {
    /// It is stopped.
    #[default]
    Deny,
    /// It goes on, unchanged.
    Allow,
}

/// What the API client is told where the policy did not say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// The code of a denial that has none of 100 or more.
    pub code: i32,
    /// The sentences of the failure classes.
    pub messages: BTreeMap<Class, String>,
}

/// How much is taken at once. Whatever is over a limit is refused at once and not queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The largest body of a webhook, in bytes.
    pub body: usize,
    /// The largest response of a policy, in bytes.
    pub reply: usize,
    /// Calls to the policy in flight.
    pub calls: usize,
    /// Connections of webhook clients.
    pub connections: usize,
}

/// How the policy service is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// How long a connection may take to be made: name, TCP, TLS and HTTP/2.
    pub connect_timeout: Duration,
    /// How long a connection may be silent before it is pinged.
    pub keep_alive: Duration,
    /// How long a ping may stay unanswered before the connection counts as dead.
    pub keep_alive_timeout: Duration,
    /// The longest pause between two attempts to connect.
    pub reconnect_max: Duration,
    /// How often in a row the policy must fail to be reached or to answer before it is not asked for a while.
    pub breaker_failures: u32,
    /// How long it is not asked then, before one call probes it.
    pub breaker_open: Duration,
    /// How often its health is asked for.
    pub health_interval: Duration,
}

/// How it stops.
#[derive(Debug, Clone, PartialEq)]
pub struct Drain {
    /// How long connections are still accepted after the signal, so that whoever routes to us has noticed.
    pub delay: Duration,
    /// How long what is in flight, and After events, may take from then on.
    pub time: Duration,
}

/// Where spans are sent, and of how many webhooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The collector; without one there are no traces.
    pub endpoint: Option<Uri>,
    /// The share of webhooks that are traced, of those that come without a `traceparent`.
    pub sample: f64,
}

/// The decision log: one line a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Decisions {
    /// Where it is written; it is off without that.
    pub to: Option<DecisionsTo>,
    /// The share of plain allows that is written, from 0 to 1.
    pub allows: f64,
    /// The fields of requests that are written beside the IDs of users and groups, as in `message.content`.
    pub fields: Vec<String>,
}

/// Where the decision log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionsTo {
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

impl Config {
    /// The handling of a callback; that of every callback for the fallback.
    pub fn handling(&self, callback: &Callback) -> &Handling {
        self.callbacks.get(callback.command).unwrap_or(&self.every)
    }

    /// Whether callers must prove or be anything at all.
    pub fn asks_who_calls(&self) -> bool {
        self.access.has_rules() || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// The certificates in force, and when each expires; of a chain or a list the one that does first. The names are
    /// `webhooks`, `client_ca`, `policy_ca` and `policy_client`.
    pub fn certificates(&self) -> impl Iterator<Item = (&'static str, SystemTime)> {
        let (tls, policy) = (self.tls.as_ref(), &self.policy_tls);
        let client_ca = tls.and_then(|tls| tls.client_ca.as_ref());
        let all = [
            ("webhooks", tls.map(|tls| &tls.identity.certificates)),
            ("client_ca", client_ca.map(|ca| &ca.certificates)),
            ("policy_ca", policy.ca.as_ref().map(|ca| &ca.certificates)),
            ("policy_client", policy.identity.as_ref().map(|identity| &identity.certificates)),
        ];
        all.into_iter().filter_map(|(name, certificates)| Some((name, certificates?.expires())))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 10006))),
            admin_listen: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 10007))),
            policy: PolicyService::BuiltIn(SocketAddr::from(([127, 0, 0, 1], 50051))),
            threads: 1,
            log: Targets::new().with_default(tracing::Level::INFO),
            every: Handling { budget: Duration::from_millis(4500), on_failure: OnFailure::default() },
            callbacks: BTreeMap::new(),
            denial: Denial {
                code: 5000,
                messages: Class::ALL.iter().map(|class| (*class, class.sentence().to_owned())).collect(),
            },
            access: Access::default(),
            tls: None,
            policy_tls: PolicyTls::default(),
            limits: Limits { body: 1 << 20, reply: 4 << 20, calls: 1_000, connections: 20_000 },
            channel: Channel::default(),
            data: None,
            after: After::in_memory(),
            drain: Drain { delay: Duration::from_secs(2), time: Duration::from_secs(10) },
            traces: Traces { endpoint: None, sample: 1.0 },
            decisions: Decisions { to: None, allows: 1.0, fields: Vec::new() },
            openim_enables: None,
        }
    }
}

impl OnFailure {
    /// The same rule for every class.
    pub fn all(rule: Rule) -> Self {
        Self([rule; Class::ALL.len()])
    }

    /// The rule of a class.
    pub fn rule(&self, class: Class) -> Rule {
        self.0[class as usize]
    }

    /// Sets the rule of a class.
    pub fn set(&mut self, class: Class, rule: Rule) {
        self.0[class as usize] = rule;
    }
}

impl Default for OnFailure {
    fn default() -> Self {
        Self::all(Rule::Deny)
    }
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            keep_alive: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
            reconnect_max: Duration::from_millis(150),
            breaker_failures: 20,
            breaker_open: Duration::from_secs(1),
            health_interval: Duration::from_secs(1),
        }
    }
}
