//! `hookgate outbox replay`: replays events, and follows what becomes of them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Change;
use super::backend::{Backend, evicted};
use super::change::{Done, Verb};
use crate::cli::{Error, age, method};
use crate::outbox::{Offline, Replay, Undelivered};
use crate::text::{count, width, wrapped};

/// Time between two questions about what became of the events.
const POLL: Duration = Duration::from_millis(100);

impl Change {
    /// Replays the events that are selected, and prints how many were queued, and what became of them within `wait`.
    pub(super) async fn replay(self, outboxes: &mut [Backend], wait: Duration, json: bool) -> Result<(), Error> {
        let evicted_before = evicted(outboxes).await?;
        let verb = Verb { path: "/replay", offline: Offline::replay };
        let Done { events: queued, replays } = self.run(outboxes, verb).await?;
        let mut out = io::stdout();
        if !json {
            let serves = outboxes.first().is_some_and(Backend::serves);
            let later = if serves { "" } else { ", for the next start" };
            writeln!(out, "{} queued{later}", count(queued, "event"))?;
        }
        // An older hookgate does not say how they are found again.
        if replays.is_empty() || wait.is_zero() || queued == 0 {
            if json {
                writeln!(out, "{}", json!({ "replayed": queued }))?;
            }
            return Ok(());
        }
        let undelivered = follow(outboxes, &replays, wait).await?;
        let left: i64 = undelivered.iter().map(|of| of.untried + of.failed + of.dead.values().sum::<i64>()).sum();
        let evicted = evicted(outboxes).await?.saturating_sub(evicted_before);
        let delivered = (queued as u64).saturating_sub(u64::try_from(left).unwrap_or_default()).saturating_sub(evicted);
        if json {
            let ended = json!({
                "replayed": queued, "delivered": delivered, "evicted": evicted, "undelivered": undelivered,
            });
            writeln!(out, "{ended}")?;
            return Ok(());
        }
        writeln!(out, "{} delivered", count(delivered, "event"))?;
        if evicted > 0 {
            let evicted = count(evicted, "event");
            writeln!(
                out,
                "{evicted} evicted: the policy does not implement the rpc, and after.dead_bytes was reached"
            )?;
        }
        for of in &undelivered {
            for line in lines(of, wait) {
                writeln!(out, "{}", wrapped(&line, 2, width()))?;
            }
        }
        Ok(())
    }
}

/// Waits until each event is delivered or has failed, or `wait` is over. Returns those that are not delivered, by rpc.
async fn follow(
    outboxes: &mut [Backend],
    replays: &[(String, Replay)],
    wait: Duration,
) -> io::Result<Vec<Undelivered>> {
    let (until, mut all) = (Instant::now().checked_add(wait), BTreeMap::<String, Undelivered>::new());
    for (policy, replay) in replays {
        let Some(outbox) = outboxes.iter_mut().find(|outbox| outbox.policy == *policy) else { continue };
        let undelivered = loop {
            let undelivered: Vec<Undelivered> =
                outbox.ask("/undelivered", Some(json!(replay)), |_| Ok(Vec::new())).await?;
            if undelivered.iter().all(|of| of.untried == 0) || until.is_some_and(|until| Instant::now() >= until) {
                break undelivered;
            }
            sleep(POLL).await;
        };
        for of in undelivered {
            let sum =
                all.entry(of.rpc.clone()).or_insert_with(|| Undelivered { rpc: of.rpc, ..Undelivered::default() });
            (sum.untried, sum.failed) = (sum.untried + of.untried, sum.failed + of.failed);
            sum.last_failure = of.last_failure.or(sum.last_failure.take());
            for (reason, events) in of.dead {
                *sum.dead.entry(reason).or_default() += events;
            }
        }
    }
    Ok(all.into_values().collect())
}

/// Returns a line for each thing that became of an rpc's events.
fn lines(of: &Undelivered, wait: Duration) -> Vec<String> {
    let rpc = method(&of.rpc);
    let cause =
        of.last_failure.as_ref().map(|last| format!(": {}: {}", last.class, last.cause.replace(char::is_control, " ")));
    let cause = cause.unwrap_or_default();
    let mut lines = Vec::new();
    if of.failed > 0 {
        lines.push(format!("{} of {rpc} failed again, waiting for the next attempt{cause}", count(of.failed, "event")));
    }
    for (reason, events) in &of.dead {
        lines.push(format!("{} of {rpc} failed again, dead ({reason}){cause}", count(*events, "event")));
    }
    if of.untried > 0 {
        lines.push(format!("{} of {rpc} still waiting after {}", count(of.untried, "event"), age(wait)));
    }
    lines
}
