//! Counts and latencies of many webhooks.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::Reply;
use super::report::{print_line, print_notes};
use crate::openim::Interpretation;
use crate::text::count;

/// The outcome of a reply that no hookgate wrote.
const NO_HOOKGATE: &str = "(not a hookgate)";

/// Counts and latencies of webhooks, as OpenIM's newest release that sends them reads the replies.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    verdicts: BTreeMap<Interpretation, u64>,
    outcomes: BTreeMap<String, u64>,
    /// The notes on the first reply of each outcome.
    notes: BTreeMap<String, Vec<String>>,
    no_reply: BTreeMap<String, u64>,
    millis: Vec<f64>,
}

impl Summary {
    /// Counts a webhook.
    pub(crate) fn add(&mut self, result: io::Result<Reply>) {
        match result {
            Ok(reply) => {
                *self.verdicts.entry(reply.verdict()).or_default() += 1;
                let outcome = reply.account().map_or(NO_HOOKGATE, |account| account.outcome).to_owned();
                *self.outcomes.entry(outcome.clone()).or_default() += 1;
                self.millis.push(reply.millis);
                self.notes.entry(outcome).or_insert(reply.notes);
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

    /// Returns true if a hookgate wrote each reply.
    pub(crate) fn is_of_hookgate(&self) -> bool {
        !self.outcomes.contains_key(NO_HOOKGATE)
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
            "notes": self.notes,
            "no_reply": self.no_reply,
            "milliseconds": self.percentiles().map(|[p50, p99, max]| json!({ "p50": p50, "p99": p99, "max": max })),
        })
    }

    /// Prints the summary as text.
    pub(crate) fn print(&self, elapsed: Duration, out: &mut impl Write) -> io::Result<()> {
        let seconds = elapsed.as_secs_f64();
        let rate = self.count() as f64 / seconds.max(f64::MIN_POSITIVE);
        writeln!(out, "{} in {seconds:.2} s, {rate:.0} a second", count(self.count(), "webhook"))?;
        writeln!(out, "OpenIM reads    {}", self.verdicts())?;
        if let Some([p50, p99, max]) = self.percentiles() {
            writeln!(out, "hookgate says   {}", counted(&self.outcomes).collect::<Vec<_>>().join(", "))?;
            writeln!(out, "replies after   p50 {p50:.2} ms, p99 {p99:.2} ms, at most {max:.2} ms")?;
        }
        for (why, times) in &self.no_reply {
            print_line(&format!("{:<15} {why}", count(*times, "time")), out)?;
        }
        let mut notes = self.notes.iter();
        notes.try_for_each(|(outcome, notes)| print_notes(outcome != NO_HOOKGATE, notes, out))
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
