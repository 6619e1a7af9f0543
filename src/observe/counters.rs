//! Counters of webhooks and gauges of what is in flight, for `/status` and `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use crate::config::Rule;
use crate::contract::Callback;
use crate::failure::Class;
use crate::memory::Memory;
use crate::observe::drift::NameCounters;
use crate::observe::durations::{Durations, Phase};
use crate::observe::failures::Failures;
use crate::observe::log_limit::LogLimit;
use crate::observe::rejected::{CallersRefused, Reason};
use crate::observe::shadow::ShadowCounters;

/// The outcome of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// The policy allowed it as it is.
    Allow,
    /// The policy allowed it, changed.
    Changed,
    /// The policy denied it.
    Deny,
    /// An After event that is delivered behind the reply.
    Accepted,
    /// Allowed without asking the policy: a route says so.
    Skipped,
    /// There was no verdict: a failure rule decided.
    Failed(Rule, Class),
    /// It is not a webhook that OpenIM would send.
    Refused,
}

/// The names of failures, by [`Rule`] and [`Class`].
static FAILED: LazyLock<[[String; Class::ALL.len()]; 2]> =
    LazyLock::new(|| ["closed", "open"].map(|word| Class::ALL.map(|class| format!("failed-{word}:{class}"))));

impl Outcome {
    /// Every outcome.
    pub fn all() -> impl Iterator<Item = Self> {
        let failed = |rule| Class::ALL.into_iter().map(move |class| Self::Failed(rule, class));
        [Self::Allow, Self::Changed, Self::Deny, Self::Accepted, Self::Skipped, Self::Refused]
            .into_iter()
            .chain(failed(Rule::Allow))
            .chain(failed(Rule::Deny))
    }

    /// Returns true if one policy's part in a decision can have this outcome.
    pub(crate) fn is_of_a_policy(self) -> bool {
        !matches!(self, Self::Accepted | Self::Skipped | Self::Refused)
    }

    /// The value of the `hookgate-outcome` header: `failed-open:deadline`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed(rule, class) => &FAILED[rule as usize][class as usize],
            decided => decided.into(),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Allow => 0,
            Self::Changed => 1,
            Self::Deny => 2,
            Self::Accepted => 3,
            Self::Refused => 4,
            Self::Skipped => 5,
            Self::Failed(rule, class) => 6 + rule as usize * Class::ALL.len() + class as usize,
        }
    }
}

const OUTCOMES: usize = 6 + 2 * Class::ALL.len();

/// The counters of a running hookgate.
#[derive(Debug)]
pub struct Status {
    started: Instant,
    /// By callback, the fallback last.
    callbacks: Vec<CallbackCounters>,
    /// By [`NotWebhook`].
    not_webhooks: [AtomicU64; NotWebhook::COUNT],
    /// Bytes of webhooks that are held.
    pub memory: Memory,
    /// Bytes of incomplete heads that are held, beyond the first read of each.
    pub heads: Memory,
    /// Webhooks being answered.
    pub in_flight: Gauge,
    /// Open connections of webhook clients.
    pub connections: Gauge,
    /// Names of commands and fields, known and unknown.
    pub names: NameCounters,
    /// Callers and connections that were refused.
    pub callers_refused: CallersRefused,
}

/// The counters of one named policy.
#[derive(Debug, Default)]
pub struct PolicyCounters {
    outcomes: [AtomicU64; OUTCOMES],
    /// The times of its calls, as the phase `policy`.
    pub(crate) durations: Durations,
    /// Its verdicts as a shadow.
    pub(crate) shadow: ShadowCounters,
}

impl PolicyCounters {
    /// Counts a verdict of it, or a failure.
    pub(crate) fn count(&self, outcome: Outcome, took: Duration) {
        self.outcomes[outcome.index()].fetch_add(1, Relaxed);
        self.durations.observe(Phase::Policy, took);
    }

    /// Verdicts with this outcome.
    pub(crate) fn counted(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].load(Relaxed)
    }
}

/// The counters of one callback.
#[derive(Debug, Default)]
pub struct CallbackCounters {
    outcomes: [AtomicU64; OUTCOMES],
    /// Milliseconds since 1970; 0 is never.
    last_seen: AtomicU64,
    /// Those without a verdict.
    pub(crate) failures: Failures,
    /// Limits the comparisons of changes with their webhooks.
    pub(crate) cautions: LogLimit,
    /// Histograms of the phases of its webhooks.
    pub durations: Durations,
}

/// A number of things that exist, each of which holds the gauge.
#[derive(Debug, Default)]
pub struct Gauge(Arc<()>);

/// Reason for which a request is not a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum NotWebhook {
    /// Its path names no callback, or its head could not be read.
    NoCallback,
    /// It is not a POST.
    NoPost,
    /// Its head is larger than the limit.
    HeadTooLarge,
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn millis_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

impl Gauge {
    /// Adds one until the returned value is dropped.
    #[must_use = "counts until it is dropped"]
    pub fn hold(&self) -> Self {
        Self(self.0.clone())
    }

    /// Returns the number of holders.
    pub fn held(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

impl CallbackCounters {
    /// Counts the outcome of a webhook; `now` is in milliseconds since 1970.
    pub fn count(&self, outcome: Outcome, now: u64) {
        self.outcomes[outcome.index()].fetch_add(1, Relaxed);
        self.last_seen.store(now, Relaxed);
    }

    /// Webhooks with this outcome.
    pub fn counted(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].load(Relaxed)
    }

    /// Time of the last webhook in milliseconds since 1970; 0 is never.
    pub fn last_seen(&self) -> u64 {
        self.last_seen.load(Relaxed)
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            callbacks: (0..=Callback::all().len()).map(|_| CallbackCounters::default()).collect(),
            not_webhooks: Default::default(),
            memory: Memory::default(),
            heads: Memory::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            names: NameCounters::default(),
            callers_refused: CallersRefused::default(),
        }
    }
}

impl Status {
    /// Returns the counters of a callback.
    pub fn of(&self, callback: &Callback) -> &CallbackCounters {
        &self.callbacks[callback.index]
    }

    /// Returns each callback with its counters, the fallback last.
    pub fn callbacks(&self) -> impl Iterator<Item = (&'static Callback, &CallbackCounters)> {
        Callback::all().iter().chain([Callback::fallback()]).zip(&self.callbacks)
    }

    /// Counts a request that is not a webhook.
    pub fn count_not_webhook(&self, why: NotWebhook) {
        self.not_webhooks[why as usize].fetch_add(1, Relaxed);
    }

    /// Requests that were not webhooks, by reason.
    pub fn not_webhooks(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = NotWebhook::VARIANTS.iter().map(|reason| reason.into());
        reasons.zip(self.not_webhooks.iter().map(|count| count.load(Relaxed)))
    }

    /// Returns the JSON of `/status`. Callbacks that never came are left out. `quotes` is set if causes may quote the policy.
    pub fn report(&self, quotes: bool) -> Value {
        let came = self.callbacks().filter(|(_, counters)| counters.last_seen() > 0);
        let callbacks = came.map(|(callback, counters)| {
            let counted = Outcome::all().map(|outcome| (outcome.as_str().to_owned(), counters.counted(outcome).into()));
            let outcomes: Map<String, Value> = counted.filter(|(_, count)| *count != 0).collect();
            let name = if callback.command.is_empty() { "unknown" } else { callback.command };
            let last_failure = counters.failures.last(quotes);
            let counters = json!({
                "last_seen_ms": counters.last_seen(),
                "outcomes": outcomes,
                "last_failure": last_failure,
            });
            (name.to_owned(), counters)
        });
        let callers_refused = Reason::VARIANTS
            .iter()
            .map(|reason| (<&str>::from(reason).to_owned(), self.callers_refused.counted(*reason).into()));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "in_flight": self.in_flight.held(),
            "connections": self.connections.held(),
            "held_bytes": self.memory.held() + self.heads.held(),
            "not_webhooks": self.not_webhooks().map(|(_, count)| count).sum::<u64>(),
            "callers_refused": callers_refused.collect::<Map<_, _>>(),
            "callbacks": callbacks.collect::<Map<_, _>>(),
        })
    }
}
