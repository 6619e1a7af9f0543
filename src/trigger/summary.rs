//! Counts and latencies of many webhooks.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::Reply;
use crate::openim::Interpretation;

/// Counts and latencies of webhooks, as OpenIM's newest release that sends them reads the replies.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    verdicts: BTreeMap<Interpretation, u64>,
    outcomes: BTreeMap<String, u64>,
    no_reply: BTreeMap<String, u64>,
    millis: Vec<f64>,
}

impl Summary {
    /// Counts a webhook.
    pub(crate) fn add(&mut self, result: io::Result<Reply>) {
        match result {
            Ok(reply) => {
                *self.verdicts.entry(reply.verdict()).or_default() += 1;
                let outcome = reply.response.headers().get("hookgate-outcome").and_then(|value| value.to_str().ok());
                *self.outcomes.entry(outcome.unwrap_or("(not a hookgate)").to_owned()).or_default() += 1;
                self.millis.push(reply.millis);
            }
            Err(error) => *self.no_reply.entry(error.to_string()).or_default() += 1,
        }
    }

    /// Returns the number of webhooks.
    pub(crate) fn count(&self) -> u64 {
        self.verdicts.values().chain(self.no_reply.values()).sum()
    }

    /// Returns the worst reading of a reply; none if a reply is missing.
    pub(crate) fn worst(&self) -> Option<Interpretation> {
        self.verdicts.keys().next_back().copied().filter(|_| self.no_reply.is_empty())
    }

    /// Returns the readings, as in `allowed 12, denied 3, no reply 1`.
    pub(crate) fn verdicts(&self) -> String {
        let no_reply: u64 = self.no_reply.values().sum();
        let no_reply = (no_reply > 0).then(|| format!("no reply {no_reply}"));
        counted(&self.verdicts).chain(no_reply).collect::<Vec<_>>().join(", ")
    }

    /// Returns the object of `--json`.
    pub(crate) fn json(&self, elapsed: Duration) -> Value {
        json!({
            "count": self.count(),
            "seconds": elapsed.as_secs_f64(),
            "verdicts": self.verdicts,
            "outcomes": self.outcomes,
            "no_reply": self.no_reply,
            "milliseconds": self.percentiles().map(|[p50, p99, max]| json!({ "p50": p50, "p99": p99, "max": max })),
        })
    }

    /// Returns the summary as text.
    pub(crate) fn text(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64();
        let rate = self.count() as f64 / seconds.max(f64::MIN_POSITIVE);
        let mut text = format!("{} webhooks in {seconds:.2} s, {rate:.0} a second\n", self.count());
        text += &format!("OpenIM reads    {}\n", self.verdicts());
        if let Some([p50, p99, max]) = self.percentiles() {
            text += &format!("hookgate says   {}\n", counted(&self.outcomes).collect::<Vec<_>>().join(", "));
            text += &format!("replies after   p50 {p50:.2} ms, p99 {p99:.2} ms, at most {max:.2} ms\n");
        }
        text.extend(self.no_reply.iter().map(|(why, count)| format!("{count} times    {why}\n")));
        text
    }

    /// Returns the median, the 99th percentile and the maximum of the latencies, in milliseconds.
    fn percentiles(&self) -> Option<[f64; 3]> {
        let mut millis = self.millis.clone();
        millis.sort_by(f64::total_cmp);
        let last = millis.len().checked_sub(1)?;
        Some([50, 99, 100].map(|percent| millis[(millis.len() * percent / 100).min(last)]))
    }
}

fn counted(counts: &BTreeMap<impl Display, u64>) -> impl Iterator<Item = String> {
    counts.iter().map(|(what, count)| format!("{what} {count}"))
}
