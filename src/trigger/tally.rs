//! What came of many webhooks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Reply, Verdict};
use crate::client::NoReply;

/// Counts, and times.
#[derive(Debug, Default)]
pub struct Tally {
    verdicts: BTreeMap<Verdict, u64>,
    outcomes: BTreeMap<String, u64>,
    no_reply: BTreeMap<String, u64>,
    times: Vec<Duration>,
}

/// Some of the times, in milliseconds.
#[derive(Debug, Serialize)]
struct Times {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Tally {
    /// Takes in what came of one webhook, as OpenIM's newest release that sends it reads it.
    pub fn add(&mut self, came: &Result<(Reply, Verdict), NoReply>) {
        match came {
            Ok((reply, verdict)) => {
                *self.verdicts.entry(*verdict).or_default() += 1;
                let outcome = reply.outcome().unwrap_or("(not a hookgate)");
                *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
                self.times.push(reply.took);
            }
            Err(error) => *self.no_reply.entry(error.to_string()).or_default() += 1,
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.verdicts.values().chain(self.no_reply.values()).sum()
    }

    /// Whether one of them had no reply.
    pub fn lacks_replies(&self) -> bool {
        !self.no_reply.is_empty()
    }

    /// The worst that happened.
    pub fn worst(&self) -> Option<Verdict> {
        self.verdicts.keys().next_back().copied()
    }

    /// `allowed 12, denied 3, no reply 1`
    pub fn verdicts(&self) -> String {
        let verdicts = self.verdicts.iter().map(|(verdict, count)| format!("{} {count}", verdict.as_str()));
        let no_reply: u64 = self.no_reply.values().sum();
        let no_reply = (no_reply > 0).then(|| format!("no reply {no_reply}"));
        verdicts.chain(no_reply).collect::<Vec<_>>().join(", ")
    }

    /// For programs: all of it, as it stands after `elapsed`.
    pub fn report(&self, elapsed: Duration) -> Value {
        json!({
            "count": self.count(),
            "seconds": elapsed.as_secs_f64(),
            "verdicts": self.verdicts.iter().map(|(verdict, count)| (verdict.as_str(), count)).collect::<BTreeMap<_, _>>(),
            "outcomes": self.outcomes,
            "no_reply": self.no_reply,
            "milliseconds": self.times(),
        })
    }

    /// For people: some lines, as it stands after `elapsed`.
    pub fn lines(&self, elapsed: Duration) -> Vec<String> {
        let seconds = elapsed.as_secs_f64();
        let rate = self.count() as f64 / seconds.max(f64::MIN_POSITIVE);
        let mut lines = vec![
            format!("{} webhooks in {seconds:.2} s, {rate:.0} a second", self.count()),
            format!("OpenIM reads    {}", self.verdicts()),
        ];
        if !self.outcomes.is_empty() {
            let outcomes: Vec<_> = self.outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
            lines.push(format!("hookgate says   {}", outcomes.join(", ")));
        }
        if let Some(Times { p50, p99, max }) = self.times() {
            lines.push(format!("replies after   p50 {p50:.2} ms, p99 {p99:.2} ms, at most {max:.2} ms"));
        }
        lines.extend(self.no_reply.iter().map(|(why, count)| format!("{count} times    {why}")));
        lines
    }

    fn times(&self) -> Option<Times> {
        let mut times: Vec<_> = self.times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied();
        Some(Times { p50: at(50)?, p99: at(99)?, max: at(100)? })
    }
}
