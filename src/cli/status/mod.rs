//! `hookgate status`: the state of a running hookgate, on one page.

mod page;
mod warnings;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use super::admin::Admin;
use super::{Error, block_on, examples, print_json};
use crate::observe::counters::millis_now;
use crate::observe::drift;
use crate::observe::failures::LastFailure;
use crate::outbox::{Backlog, Cluster, Disk, RpcBacklog};
use crate::reload;
use crate::server::guards::GuardReport;

/// Options of `hookgate status`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["hookgate status", "hookgate status --admin hookgate:10007"]))]
pub(super) struct Status {
    #[command(flatten)]
    admin: Admin,

    /// Print /status as it is: a JSON object
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Asks the admin listener and prints the page. Fails if hookgate is not ready.
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let status: Value = block_on(self.admin.ask("/status", None, "--admin takes another address"))??;
        let report = Report::deserialize(by_policy(status.clone())).map_err(|error| self.admin.not_hookgate(error))?;
        if self.json {
            print_json(&status)?;
        } else {
            // anstream strips colour where there is no terminal, and with NO_COLOR.
            page::print(&report, millis_now(), &mut anstream::stdout().lock())?;
        }
        Ok(if report.is_ready() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The members of `/status` that the page shows. Those that an older hookgate lacks have a default.
#[derive(Debug, Deserialize)]
struct Report {
    version: String,
    uptime_seconds: u64,
    stopping: bool,
    in_flight: u64,
    connections: u64,
    held_bytes: u64,
    not_webhooks: u64,
    callers_refused: BTreeMap<String, u64>,
    callbacks: BTreeMap<String, Calls>,
    certificates: BTreeMap<String, Certificate>,
    configuration: reload::Counts,
    policies: Vec<Policy>,
    #[serde(default)]
    guards: Vec<GuardReport>,
    decisions: Decisions,
    drift: drift::Report,
}

/// The webhooks of a callback, by outcome.
#[derive(Debug, Deserialize)]
struct Calls {
    last_seen_ms: u64,
    outcomes: BTreeMap<String, u64>,
    #[serde(default)]
    last_failure: Option<LastFailure>,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    expires: String,
    days: i64,
}

/// A policy, and the events on their way to it.
#[derive(Debug, Deserialize)]
struct Policy {
    /// The name; empty for the only one of a configuration without names.
    #[serde(default)]
    name: String,
    /// True unless the policy is a shadow alone.
    #[serde(default = "yes")]
    decides: bool,
    #[serde(default)]
    verdicts: BTreeMap<String, u64>,
    after_events: Events,
    url: String,
    ready: bool,
    state: String,
    channel: Channel,
}

#[derive(Debug, Deserialize)]
struct Channel {
    addresses: Vec<Address>,
    /// The error of the last look-up.
    name: Option<String>,
    breakers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Address {
    address: String,
    state: String,
    in_flight: u64,
}

#[derive(Debug, Deserialize)]
struct Events {
    backlog: Backlog,
    rpcs: BTreeMap<String, RpcBacklog>,
    #[serde(default)]
    failures: BTreeMap<String, LastFailure>,
    disk: Option<Disk>,
    cluster: Option<Cluster>,
    delivered: u64,
    retried: u64,
    undelivered: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct Decisions {
    left_out: u64,
}

impl Report {
    /// Returns true if webhooks should be sent here, as `/readyz` says it.
    fn is_ready(&self) -> bool {
        self.policies.iter().any(|policy| policy.ready && policy.decides) && !self.stopping
    }
}

fn yes() -> bool {
    true
}

/// Returns a status in which the only policy stands as the first of several.
fn by_policy(mut status: Value) -> Value {
    let Some(members) = status.as_object_mut() else { return status };
    if let (Some(Value::Object(mut policy)), Some(events)) = (members.remove("policy"), members.remove("after_events"))
    {
        policy.insert("after_events".to_owned(), events);
        members.insert("policies".to_owned(), Value::Array(vec![Value::Object(policy)]));
    }
    status
}

impl Policy {
    /// Returns a text with the policy's name before it, if it has one.
    fn named(&self, text: impl Display) -> String {
        if self.name.is_empty() { text.to_string() } else { format!("{}: {text}", self.name) }
    }
}

impl Calls {
    /// The webhooks of the outcomes whose names begin so.
    fn count(&self, outcome: &str) -> u64 {
        self.outcomes.iter().filter(|(name, _)| name.starts_with(outcome)).map(|(_, count)| count).sum()
    }
}
