//! The publisher: puts events into the streams, or into the spill while they take none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_nats::connection::State;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::api::{Api, ApiError};
use super::names::Names;
use super::record::{self, Record, token};
use super::spill::{Spill, Spilled};
use crate::backoff::{doubling, jittered};
use crate::observe::log_limit::LogLimit;
use crate::outbox::limiter::LOG_INTERVAL;
use crate::outbox::sqlite::Clock;

/// Time in which a publish that no webhook waits for is answered.
const WITHIN: Duration = Duration::from_secs(2);

/// The first pause after a failed publish of the spill, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Room below `max_payload` for the header, which grows with later attempts, in bytes.
const FRAME: usize = 1024;

/// The publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) api: Api,
    pub(super) names: Names,
    pub(super) clock: Clock,
    pub(super) partitions: usize,
    pub(super) spill: Spill,
    /// True since a publish has failed and none has succeeded: what arrives goes to the spill. Of events without a key, and of
    /// those with one, as they go to other streams.
    is_down: [AtomicBool; 2],
    /// True once the streams are known to be there.
    pub(super) is_ready: AtomicBool,
    pub(super) counters: Counters,
    full_log: LogLimit,
}

/// The counters since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) published: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) spilled: AtomicU64,
    pub(super) redelivered: AtomicU64,
    pub(super) given_up: AtomicU64,
    pub(super) restarted: Arc<AtomicU64>,
}

/// The place of an event that was stored.
#[derive(Debug)]
pub(super) enum Stored {
    /// A stream has it, at this sequence.
    Stream(u64),
    /// The file of the spill has it, or will.
    Spill(u64, Option<tokio::sync::oneshot::Receiver<bool>>),
    /// No place: the event is larger than the servers take.
    TooLarge,
    /// No place: the spill is full.
    Full,
}

impl Publisher {
    pub(super) fn new(api: Api, names: Names, clock: Clock, partitions: usize, spill: Spill) -> Self {
        let (is_down, is_ready) = ([AtomicBool::new(true), AtomicBool::new(true)], AtomicBool::new(false));
        Self {
            api,
            names,
            clock,
            partitions,
            spill,
            is_down,
            is_ready,
            counters: Counters::default(),
            full_log: LogLimit::default(),
        }
    }

    /// Returns true if events are published as they arrive; false if they go to the spill.
    pub(super) fn is_up(&self) -> bool {
        self.is_down.iter().all(|is_down| !is_down.load(Relaxed))
    }

    /// Begins to publish, as the streams are there.
    pub(super) fn begin(&self) {
        self.is_ready.store(true, Relaxed);
        self.is_down.iter().for_each(|is_down| is_down.store(false, Relaxed));
        self.spill.work.notify_one();
    }

    /// Returns the subject of a record: of its end, of the later events, or of its partition.
    pub(super) fn subject(&self, record: &Record) -> String {
        let entry = &record.entry;
        let (rpc, id) = (entry.rpc(), token(entry.event_id()));
        let run = match record.run {
            // A replayed event that has failed is told from one that has not been tried.
            Some(run) if entry.progress.attempts > entry.progress.spared => format!("{run}f"),
            Some(run) => run.to_string(),
            None => "0".to_owned(),
        };
        match (&record.end, entry.key()) {
            (Some(end), _) => self.names.dead(&end.reason, rpc, run.trim_end_matches('f'), &id),
            (None, Some(key)) if !entry.progress.parked => {
                let mut hash = crc32fast::Hasher::new();
                [key.domain.as_bytes(), b"\0", key.value.as_bytes()].iter().for_each(|part| hash.update(part));
                self.names.event(hash.finalize() as usize % self.partitions, rpc, &id)
            }
            _ => self.names.later(rpc, &run, &id),
        }
    }

    /// Publishes a record, for which no webhook waits.
    pub(super) async fn publish(&self, record: &Record) -> Result<u64, ApiError> {
        let (subject, header) = (self.subject(record), record.header(&self.clock));
        self.send(&subject, &record.message_id(), &header, &record.entry.event.message, WITHIN).await
    }

    /// Publishes a message, and counts that. Returns its sequence.
    async fn send(
        &self,
        subject: &str,
        message_id: &str,
        header: &str,
        payload: &Bytes,
        within: Duration,
    ) -> Result<u64, ApiError> {
        let headers = record::headers(message_id, header);
        let published = self.api.publish(subject.to_owned(), headers, payload.clone(), within).await;
        let counter = if published.is_ok() { &self.counters.published } else { &self.counters.failed };
        counter.fetch_add(1, Relaxed);
        published.map(|published| published.seq)
    }

    /// Stores an event for whose webhook there is this time.
    pub(super) async fn store(&self, record: &Record, within: Duration) -> Stored {
        let (subject, header) = (self.subject(record), record.header(&self.clock));
        let (message_id, payload) = (record.message_id(), record.entry.event.message.clone());
        let key = record.entry.key().filter(|_| !record.entry.progress.parked);
        let key = key.map(|key| format!("{} {}", key.domain, key.value));
        if self.is_too_large(payload.len() + header.len()) {
            return Stored::TooLarge;
        }
        let is_behind = key.as_ref().is_some_and(|key| self.spill.has_key(key));
        let is_down = &self.is_down[usize::from(key.is_some())];
        if !is_down.load(Relaxed) && !is_behind {
            match self.send(&subject, &message_id, &header, &payload, within).await {
                Ok(sequence) => return Stored::Stream(sequence),
                Err(error) if error.is_too_large() => return Stored::TooLarge,
                // The other streams may have room.
                Err(error) if error.is_full() => self.log_full(&subject),
                Err(error) => {
                    if !is_down.swap(true, Relaxed) {
                        warn!(%error, "NATS does not take events, keeping them here");
                    }
                }
            }
        }
        let spilled = Spilled { subject, message_id, header, payload, key };
        match self.spill.put(spilled) {
            Some(put) => {
                self.counters.spilled.fetch_add(1, Relaxed);
                Stored::Spill(put.number, put.written)
            }
            None => Stored::Full,
        }
    }

    /// Returns true if the servers do not take a message with so many bytes of payload and header.
    fn is_too_large(&self, bytes: usize) -> bool {
        let client = &self.api.client;
        // No server has told its bound before the first connection.
        client.connection_state() != State::Pending && bytes + FRAME > client.max_payload()
    }

    /// Returns true if the servers take an event of this size.
    pub(super) fn fits(&self, record: &Record) -> bool {
        !self.is_too_large(record.entry.event.message.len() + record.header(&self.clock).len())
    }

    /// Publishes what is in the spill, for as long as this is polled. Calls `unfit` with what can never be published, and `later`
    /// with the rpc of each later event.
    pub(super) async fn drain(&self, unfit: impl Fn(&Spilled), later: impl Fn(&str)) {
        let mut pause = PAUSES.0;
        // The times until which a stream is left alone, as it took nothing: of events without a key here, and of those with one.
        let mut full = [None::<Instant>; 2];
        loop {
            let work = self.spill.work.notified();
            if !self.is_ready.load(Relaxed) {
                work.await;
                continue;
            }
            let now = Instant::now();
            let batch =
                self.spill.batch(|spilled| full[usize::from(spilled.key.is_some())].is_none_or(|until| until <= now));
            let batch = batch.await;
            if batch.is_empty() {
                if self.is_up() && self.spill.standing().events == 0 {
                    work.await;
                } else if self.spill.standing().events == 0
                    && super::streams::held(&self.api, &self.names.events).await.is_ok()
                {
                    // There is nothing to publish that would show it.
                    self.is_down.iter().for_each(|is_down| is_down.store(false, Relaxed));
                } else {
                    sleep(jittered(PAUSES.1)).await;
                }
                continue;
            }
            let published = batch.iter().map(|(_, spilled)| {
                let Spilled { subject, message_id, header, payload, .. } = &**spilled;
                self.send(subject, message_id, header, payload, WITHIN)
            });
            let published = join_all(published).await;
            let mut is_any_taken = false;
            for ((number, spilled), published) in batch.iter().zip(published) {
                let class = usize::from(spilled.key.is_some());
                match published {
                    Ok(sequence) => {
                        is_any_taken = true;
                        if self.is_down[class].swap(false, Relaxed) {
                            info!(left = self.spill.standing().events, "NATS takes events again");
                        }
                        let stream = self.names.stream(&spilled.subject);
                        if *stream == self.names.later {
                            spilled.subject.split('.').nth(2).into_iter().for_each(&later);
                        }
                        // One that ended or was dropped meanwhile; if this fails it is delivered once more.
                        if !self.spill.remove(*number) {
                            let _ = self.api.delete(stream, sequence).await;
                        }
                    }
                    Err(error) if error.is_too_large() => {
                        if self.spill.remove(*number) {
                            unfit(spilled);
                        }
                    }
                    Err(error) => {
                        // The other stream may take its events.
                        full[class] = Some(Instant::now() + PAUSES.1);
                        if error.is_full() {
                            self.log_full(&spilled.subject);
                        }
                    }
                }
            }
            self.spill.published();
            if is_any_taken {
                pause = PAUSES.0;
            } else {
                let now;
                (now, pause) = doubling(pause, PAUSES.1);
                sleep(now).await;
            }
        }
    }

    fn log_full(&self, subject: &str) {
        self.full_log.log(LOG_INTERVAL, |unlogged| {
            warn!(subject, unlogged, "stream of NATS is full, its new events are kept here");
        });
    }
}
