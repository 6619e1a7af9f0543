//! Counters of shadows: the differences between their verdicts and the replies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use strum::{EnumCount, IntoStaticStr};

use super::counters::PolicyCounters;
use super::log_limit::LogLimit;
use crate::contract::Callback;
use crate::cut::cut;

/// Maximum number of operation IDs that are kept of each kind.
const EXAMPLES: usize = 5;

/// Maximum bytes of an operation ID that is kept: a caller chooses it.
const LONGEST_ID: usize = 64;

/// Maximum number of fields that are counted of each kind: no response has as many.
const FIELDS: usize = 64;

/// Maximum bytes of webhooks that the shadow calls of one policy hold.
const BYTES: usize = 16 << 20;

/// The difference between a shadow's verdict and the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumCount, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Difference {
    /// No difference.
    Same,
    /// A denial of the shadow where the reply allows.
    WouldDeny,
    /// An allow of the shadow where the reply denies.
    WouldAllow,
    /// Denials with different codes.
    OtherCode,
    /// Allows with different changes.
    OtherChanges,
    /// No verdict of the shadow.
    ShadowFailed,
    /// A reply by a failure rule, with which there is nothing to compare.
    LiveFailed,
}

impl Difference {
    /// Returns whether two verdicts differ; `None` if there were not two.
    pub(crate) fn differs(self) -> Option<bool> {
        match self {
            Self::Same => Some(false),
            Self::WouldDeny | Self::WouldAllow | Self::OtherCode | Self::OtherChanges => Some(true),
            Self::ShadowFailed | Self::LiveFailed => None,
        }
    }

    /// Its name in metrics and reports: `would_deny`.
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The counters of one policy as a shadow.
#[derive(Debug, Default)]
pub(crate) struct ShadowCounters {
    rows: Mutex<BTreeMap<(usize, Difference), Row>>,
    /// Webhooks about which it was not asked.
    not_asked: AtomicU64,
    calls: AtomicUsize,
    bytes: AtomicUsize,
    /// Limits the lines of the decision log, by difference.
    pub(crate) lines: [LogLimit; Difference::COUNT],
}

#[derive(Debug, Default)]
struct Row {
    count: u64,
    fields: BTreeMap<String, u64>,
    examples: VecDeque<String>,
}

/// A row of the report on shadows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShadowRow {
    /// The name of the shadow.
    pub(crate) policy: String,
    /// The rpc, without its package.
    pub(crate) rpc: String,
    /// The difference, as in `would_deny`.
    pub(crate) difference: String,
    /// The number of webhooks.
    pub(crate) count: u64,
    /// The fields that are changed otherwise, with the number of webhooks of each.
    pub(crate) fields: BTreeMap<String, u64>,
    /// Operation IDs of the last ones.
    pub(crate) examples: Vec<String>,
}

/// A shadow call in flight.
#[derive(Debug)]
pub(crate) struct ShadowCall {
    counters: Arc<PolicyCounters>,
    bytes: usize,
}

impl ShadowCounters {
    /// Begins a call of a policy about a webhook of this many bytes. Returns `None`, and counts it, if `calls` are in flight
    /// already, or they hold too much.
    pub(crate) fn begin(of: &Arc<PolicyCounters>, bytes: usize, calls: usize) -> Option<ShadowCall> {
        let shadow = &of.shadow;
        let call = ShadowCall { counters: of.clone(), bytes };
        let number = shadow.calls.fetch_add(1, Relaxed) + 1;
        let held = shadow.bytes.fetch_add(bytes, Relaxed) + bytes;
        if number > calls || held > BYTES {
            shadow.leave_out();
            return None;
        }
        Some(call)
    }

    /// Counts a webhook about which the shadow is not asked.
    pub(crate) fn leave_out(&self) {
        self.not_asked.fetch_add(1, Relaxed);
    }

    /// Counts a verdict, with the fields that it changes otherwise and the operation ID of its webhook.
    pub(crate) fn count(&self, callback: &Callback, difference: Difference, fields: &[String], operation_id: &str) {
        let mut rows = self.rows.lock();
        let row = rows.entry((callback.index, difference)).or_default();
        row.count += 1;
        for field in fields {
            if row.fields.contains_key(field) || row.fields.len() < FIELDS {
                *row.fields.entry(field.clone()).or_default() += 1;
            }
        }
        if difference != Difference::Same {
            if row.examples.len() == EXAMPLES {
                row.examples.pop_front();
            }
            let decoded = percent_decode_str(operation_id).decode_utf8_lossy();
            row.examples.push_back(cut(&decoded, LONGEST_ID).into_owned());
        }
    }

    /// Returns the number of webhooks about which the shadow was not asked.
    pub(crate) fn not_asked(&self) -> u64 {
        self.not_asked.load(Relaxed)
    }

    /// Returns the rows of the policy of this name.
    pub(crate) fn rows(&self, policy: &str) -> Vec<ShadowRow> {
        let callbacks: Vec<_> = Callback::all().iter().chain([Callback::fallback()]).collect();
        let rows = self.rows.lock();
        let rows = rows.iter().filter_map(|((index, difference), row)| {
            Some(ShadowRow {
                policy: policy.to_owned(),
                rpc: callbacks.get(*index)?.service_and_method().to_owned(),
                difference: difference.as_str().to_owned(),
                count: row.count,
                fields: row.fields.clone(),
                examples: row.examples.iter().cloned().collect(),
            })
        });
        rows.collect()
    }
}

impl Drop for ShadowCall {
    fn drop(&mut self) {
        self.counters.shadow.calls.fetch_sub(1, Relaxed);
        self.counters.shadow.bytes.fetch_sub(self.bytes, Relaxed);
    }
}
