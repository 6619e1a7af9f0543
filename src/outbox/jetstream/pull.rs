//! Pulls: one message at a time from a consumer, with a watchdog.
//!
//! A pull ends without a word where its consumer changes its leader or its node stops. So the server sends a heartbeat each
//! second, and without one for three seconds the pull is made again, on a new inbox: what still came to the old one would
//! be held by nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::ack;
use super::streams::ACK_WAIT;
use crate::backoff::doubling;

/// Maximum age of a pull.
const EXPIRES: Duration = Duration::from_secs(30);

/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Time without a word after which a pull is taken for dead.
const SILENCE: Duration = Duration::from_secs(3);

/// Time of refusals after which the consumer is looked at: it may be gone.
const REFUSED: Duration = Duration::from_secs(10);

/// Longest pause after a pull that was refused.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

const PAUSE: Duration = Duration::from_millis(20);

/// The pulls of a consumer.
#[derive(Debug)]
pub(super) struct Pulls {
    client: Client,
    subject: String,
    inbox: Option<(String, Subscriber)>,
    is_open: bool,
    /// The time of the last word of the server, or of the pull.
    heard: Instant,
    pause: Duration,
    /// The time of the first refusal in a row.
    refused: Option<Instant>,
    /// The pulls that were made again, for they went silent.
    restarted: Arc<AtomicU64>,
}

impl Pulls {
    pub(super) fn new(client: Client, stream: &str, consumer: &str, restarted: Arc<AtomicU64>) -> Self {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let heard = Instant::now();
        Self { client, subject, inbox: None, is_open: false, heard, pause: PAUSE, refused: None, restarted }
    }

    /// Returns true if a message may come that nobody waits for.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Waits for a message. If that is given up the pull stays open, until [`close`](Self::close). None if pulls have been
    /// refused for long: the consumer may be gone.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            if self.refused.is_some_and(|since| since.elapsed() >= REFUSED) {
                self.refused = None;
                return None;
            }
            let heard = match self.subscriber().await {
                Some((subscriber, until)) => timeout_at(until, subscriber.next()).await.ok().flatten(),
                None => None,
            };
            let silence = std::mem::replace(&mut self.heard, Instant::now()).elapsed();
            // This process has been stopped meanwhile, and another copy may have by now what comes first.
            let Some(message) = heard.filter(|_| silence < ACK_WAIT / 2) else {
                if self.inbox.take().is_some() {
                    self.restarted.fetch_add(1, Relaxed);
                }
                self.is_open = false;
                self.rest().await;
                continue;
            };
            match message.status.map_or(0, |status| status.as_u16()) {
                0 => {
                    self.is_open = false;
                    (self.pause, self.refused) = (PAUSE, None);
                    return Some(message);
                }
                // A heartbeat.
                100 => (self.pause, self.refused) = (PAUSE, None),
                // It has expired: there is nothing.
                404 | 408 => (self.is_open, self.refused) = (false, None),
                // The consumer has no leader, or another one, or is gone.
                _ => {
                    self.is_open = false;
                    self.refused.get_or_insert_with(Instant::now);
                    self.rest().await;
                }
            }
        }
    }

    /// Returns the inbox, with a pull that is open.
    async fn subscriber(&mut self) -> Option<(&mut Subscriber, Instant)> {
        if self.inbox.is_none() {
            let inbox = self.client.new_inbox();
            let subscriber = timeout(SILENCE, self.client.subscribe(inbox.clone())).await.ok()?.ok()?;
            self.inbox = Some((inbox, subscriber));
            self.is_open = false;
        }
        let (inbox, subscriber) = self.inbox.as_mut()?;
        if !self.is_open {
            let (expires, heartbeat) = (EXPIRES.as_nanos(), HEARTBEAT.as_nanos());
            let pull = json!({ "batch": 1, "expires": expires as u64, "idle_heartbeat": heartbeat as u64 });
            let sent = self.client.publish_with_reply(self.subject.clone(), inbox.clone(), pull.to_string().into());
            timeout(SILENCE, sent).await.ok()?.ok()?;
            self.is_open = true;
            self.heard = Instant::now();
        }
        Some((subscriber, self.heard + SILENCE))
    }

    async fn rest(&mut self) {
        let pause;
        (pause, self.pause) = doubling(self.pause, LONGEST_PAUSE);
        sleep(pause).await;
    }

    /// Ends the pull, and gives back what came meanwhile.
    pub(super) async fn close(mut self) {
        let Some((_, mut subscriber)) = self.inbox.take().filter(|_| self.is_open) else { return };
        if subscriber.unsubscribe().await.is_err() {
            return;
        }
        let rest = async {
            while let Some(message) = subscriber.next().await {
                if let (None, Some(reply)) = (message.status, &message.reply) {
                    ack::give_back(&self.client, reply, Duration::ZERO).await;
                }
            }
        };
        // The client ends the subscription at once if it is connected.
        let _ = timeout(HEARTBEAT, rest).await;
    }
}
