//! Changes of many events: `replay` and `drop`.

use std::io::{self, ErrorKind};

use indicatif::ProgressBar;
use serde_json::json;

use super::Change;
use super::backend::{self, Backend};
use crate::cli::{Error, progress_bar};
use crate::outbox::{Changed, Filter, Offline, OperateError, Replay, State};

/// A change, as the admin API and a directory have it.
#[derive(Clone, Copy)]
pub(super) struct Verb {
    /// The path below `/outbox`.
    pub(super) path: &'static str,
    pub(super) offline: fn(&mut Offline, &Filter) -> Result<Changed, OperateError>,
}

/// The result of changes.
#[derive(Default)]
pub(super) struct Done {
    /// The number of events.
    pub(super) events: usize,
    /// The replays, by which their events are found again, each with its policy.
    pub(super) replays: Vec<(String, Replay)>,
}

impl Change {
    /// Changes all events that are selected, behind a progress bar: in every outbox.
    pub(super) async fn run(self, outboxes: &mut [Backend], verb: Verb) -> Result<Done, Error> {
        let filter = Filter { all: self.all, ..self.which.filter()? };
        if filter == Filter::default() {
            return Err(Error::Usage("which events? An ID, --rpc, --reason, --since or --all says it".to_owned()));
        }
        // Counted once: events that fail again meanwhile would otherwise be replayed without end.
        let dead = Filter { state: Some(State::Dead), ..filter.clone() };
        let mut counts = Vec::new();
        for outbox in &mut *outboxes {
            let count: i64 = match filter.id {
                Some(_) => 1,
                None => outbox.ask("/count", Some(json!(dead)), |outbox| outbox.count(&dead)).await?,
            };
            counts.push(usize::try_from(count).unwrap_or_default());
        }
        let progress = progress_bar(counts.iter().sum(), "{bar:32} {pos}/{len}  {per_sec}  {eta}");
        let mut all = Done::default();
        let mut unknown = filter.id.as_deref().map(backend::unknown);
        for (outbox, count) in outboxes.iter_mut().zip(counts) {
            match verb.run(outbox, &filter, count, &progress).await {
                // Another one may have it, or more of them: an event has one ID for all policies that it is for.
                Err(error) if filter.id.is_some() && error.kind() == ErrorKind::NotFound => {
                    unknown = unknown.map(|_| error);
                }
                done => {
                    let done = done?;
                    unknown = None;
                    all.events += done.events;
                    all.replays.extend(done.replays);
                }
            }
        }
        unknown.map_or(Ok(()), Err)?;
        progress.finish_and_clear();
        Ok(all)
    }
}

impl Verb {
    /// Changes up to `left` events of an outbox, some at a time.
    async fn run(
        self,
        outbox: &mut Backend,
        filter: &Filter,
        mut left: usize,
        progress: &ProgressBar,
    ) -> io::Result<Done> {
        let (mut done, mut after) = (Done::default(), None);
        while left > 0 {
            let filter = Filter { limit: Some(left), after, ..filter.clone() };
            let changed = outbox.ask(self.path, Some(json!(filter)), |outbox| (self.offline)(outbox, &filter)).await?;
            done.events += changed.events;
            done.replays.extend(changed.replay.map(|replay| (outbox.policy.clone(), replay)));
            left = left.saturating_sub(changed.events);
            progress.inc(changed.events as u64);
            after = changed.last;
            if after.is_none() {
                break;
            }
        }
        Ok(done)
    }
}
