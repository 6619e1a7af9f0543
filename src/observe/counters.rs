//! Counters of webhooks and gauges of what is in flight, for `/status` and `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::config::Rule;
use crate::contract::Callback;
use crate::failure::Class;
use crate::memory::Memory;
use crate::observe::drift::{Names, Unknowns};
use crate::observe::durations::Durations;
use crate::observe::rejected::CallersRefused;

/// The outcome of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The policy allowed it as it is.
    Allow,
    /// The policy allowed it, changed.
    Changed,
    /// The policy denied it.
    Deny,
    /// An After event that is delivered behind the reply.
    Accepted,
    /// There was no verdict: a failure rule decided.
    Failed(Rule, Class),
    /// It is not a webhook that OpenIM would send.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub fn all() -> impl Iterator<Item = Self> {
        let failed = |rule| Class::ALL.into_iter().map(move |class| Self::Failed(rule, class));
        [Self::Allow, Self::Changed, Self::Deny, Self::Accepted, Self::Refused]
            .into_iter()
            .chain(failed(Rule::Allow))
            .chain(failed(Rule::Deny))
    }

    /// The value of the `hookgate-outcome` header: `failed-open:deadline`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Changed => "changed",
            Self::Deny => "deny",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Failed(Rule::Allow, Class::Unavailable) => "failed-open:unavailable",
            Self::Failed(Rule::Allow, Class::Deadline) => "failed-open:deadline",
            Self::Failed(Rule::Allow, Class::Overloaded) => "failed-open:overloaded",
            Self::Failed(Rule::Allow, Class::Unimplemented) => "failed-open:unimplemented",
            Self::Failed(Rule::Allow, Class::Error) => "failed-open:error",
            Self::Failed(Rule::Allow, Class::InvalidReply) => "failed-open:invalid_reply",
            Self::Failed(Rule::Deny, Class::Unavailable) => "failed-closed:unavailable",
            Self::Failed(Rule::Deny, Class::Deadline) => "failed-closed:deadline",
            Self::Failed(Rule::Deny, Class::Overloaded) => "failed-closed:overloaded",
            Self::Failed(Rule::Deny, Class::Unimplemented) => "failed-closed:unimplemented",
            Self::Failed(Rule::Deny, Class::Error) => "failed-closed:error",
            Self::Failed(Rule::Deny, Class::InvalidReply) => "failed-closed:invalid_reply",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Allow => 0,
            Self::Changed => 1,
            Self::Deny => 2,
            Self::Accepted => 3,
            Self::Refused => 4,
            Self::Failed(Rule::Allow, class) => 5 + class as usize,
            Self::Failed(Rule::Deny, class) => 5 + Class::ALL.len() + class as usize,
        }
    }
}

const OUTCOMES: usize = 5 + 2 * Class::ALL.len();

/// The counts of a running hookgate.
#[derive(Debug)]
pub struct Status {
    started: Instant,
    /// By callback, the fallback last.
    callbacks: Vec<Counts>,
    /// By [`NotWebhook`].
    not_webhooks: [AtomicU64; NotWebhook::ALL.len()],
    /// Bytes of webhooks that are held.
    pub memory: Memory,
    /// Bytes of incomplete heads that are held, beyond the first read of each.
    pub heads: Memory,
    in_flight: AtomicUsize,
    connections: AtomicUsize,
    /// Commands and fields that this build does not know.
    pub unknowns: Unknowns,
    /// Names under which known commands and fields came.
    pub names: Names,
    /// Histograms of the phases of webhooks.
    pub durations: Durations,
    /// Callers and connections that were refused.
    pub callers_refused: CallersRefused,
}

#[derive(Debug, Default)]
struct Counts {
    outcomes: [AtomicU64; OUTCOMES],
    /// Milliseconds since 1970; 0 is never.
    last_seen: AtomicU64,
}

/// Adds one to a gauge until it is dropped.
#[derive(Debug)]
pub struct GaugeGuard {
    status: Arc<Status>,
    gauge: fn(&Status) -> &AtomicUsize,
}

/// Reason for which a request is not a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotWebhook {
    /// Its path names no callback, or its head could not be read.
    NoCallback,
    /// It is not a POST.
    NoPost,
    /// Its head is larger than the limit.
    HeadTooLarge,
}

impl NotWebhook {
    const ALL: [Self; 3] = [Self::NoCallback, Self::NoPost, Self::HeadTooLarge];

    /// Its name in metrics: `no_post`.
    fn as_str(self) -> &'static str {
        match self {
            Self::NoCallback => "no_callback",
            Self::NoPost => "no_post",
            Self::HeadTooLarge => "head_too_large",
        }
    }
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn millis_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

impl GaugeGuard {
    fn new(status: &Arc<Status>, gauge: fn(&Status) -> &AtomicUsize) -> Self {
        gauge(status).fetch_add(1, Relaxed);
        Self { status: status.clone(), gauge }
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        (self.gauge)(&self.status).fetch_sub(1, Relaxed);
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            callbacks: (0..=Callback::all().len()).map(|_| Counts::default()).collect(),
            not_webhooks: Default::default(),
            memory: Memory::default(),
            heads: Memory::default(),
            in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            unknowns: Unknowns::default(),
            names: Names::default(),
            durations: Durations::default(),
            callers_refused: CallersRefused::default(),
        }
    }
}

impl Status {
    /// Counts the outcome of a webhook; `now` is in milliseconds since 1970.
    pub fn count(&self, callback: &Callback, outcome: Outcome, now: u64) {
        let counts = &self.callbacks[callback.index];
        counts.outcomes[outcome.place()].fetch_add(1, Relaxed);
        counts.last_seen.store(now, Relaxed);
    }

    /// Counts a request that is not a webhook.
    pub fn count_not_webhook(&self, why: NotWebhook) {
        self.not_webhooks[why as usize].fetch_add(1, Relaxed);
    }

    /// Requests that were not webhooks, by reason.
    pub fn not_webhooks(&self) -> [(&'static str, u64); 3] {
        NotWebhook::ALL.map(|why| (why.as_str(), self.not_webhooks[why as usize].load(Relaxed)))
    }

    /// Webhooks of a callback with this outcome.
    pub fn counted(&self, callback: &Callback, outcome: Outcome) -> u64 {
        self.callbacks[callback.index].outcomes[outcome.place()].load(Relaxed)
    }

    /// Time of a callback's last webhook in milliseconds since 1970; 0 is never.
    pub fn last_seen(&self, callback: &Callback) -> u64 {
        self.callbacks[callback.index].last_seen.load(Relaxed)
    }

    /// Webhooks being answered.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Open connections of webhook clients.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Counts a webhook as being answered until the guard is dropped.
    pub fn answering(self: &Arc<Self>) -> GaugeGuard {
        GaugeGuard::new(self, |status| &status.in_flight)
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn connected(self: &Arc<Self>) -> GaugeGuard {
        GaugeGuard::new(self, |status| &status.connections)
    }

    /// Returns the JSON of `/status`. Callbacks that never came are left out.
    pub fn report(&self) -> Value {
        let rows = Callback::all().iter().chain([Callback::fallback()]).zip(&self.callbacks);
        let callbacks = rows.filter_map(|(callback, counts)| {
            let last_seen = counts.last_seen.load(Relaxed);
            let counted = Outcome::all().map(|outcome| (outcome, counts.outcomes[outcome.place()].load(Relaxed)));
            let outcomes: Map<String, Value> = counted
                .filter(|(_, count)| *count > 0)
                .map(|(outcome, count)| (outcome.as_str().to_owned(), count.into()))
                .collect();
            let name = if callback.command.is_empty() { "unknown" } else { callback.command };
            (last_seen > 0).then(|| (name.to_owned(), json!({ "last_seen_ms": last_seen, "outcomes": outcomes })))
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "in_flight": self.in_flight(),
            "connections": self.connections(),
            "held_bytes": self.memory.held() + self.heads.held(),
            "not_webhooks": self.not_webhooks().iter().map(|(_, count)| count).sum::<u64>(),
            "callers_refused": self.callers_refused.report(),
            "callbacks": callbacks.collect::<Map<_, _>>(),
        })
    }
}
