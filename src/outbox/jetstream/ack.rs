//! An event in hand: JetStream gives it to another copy unless it hears of this one within `ack_wait`.
//!
//! Acks and progress are requests, as the servers answer them: an ack into the void would be the event once more for
//! another copy. An answer says that the server has heard it, not that the event was still this copy's; so time alone
//! decides that: a copy whose last confirmed progress is older than half of `ack_wait` gives up its call.

use std::time::Duration;

use async_nats::client::Request;
use async_nats::{Client, Message, Subject};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::streams::ACK_WAIT;

/// Time between two progress acks.
const PROGRESS: Duration = Duration::from_secs(1);

/// Maximum time of one ack.
const ONE_ACK: Duration = Duration::from_millis(700);

/// Pause after an ack that nobody answered.
const PAUSE: Duration = Duration::from_millis(50);

/// An event in hand.
#[derive(Debug)]
pub(super) struct Unacked {
    client: Client,
    subject: Subject,
    /// True once another copy may have the event.
    is_lost: watch::Receiver<bool>,
    progress: AbortHandle,
}

impl Drop for Unacked {
    fn drop(&mut self) {
        self.progress.abort();
    }
}

impl Unacked {
    /// Takes a message in hand, which has just come.
    pub(super) fn new(client: &Client, subject: Subject) -> Self {
        let (lost, is_lost) = watch::channel(false);
        let held = hold(client.clone(), subject.clone(), lost);
        let progress = tokio::spawn(held).abort_handle();
        Self { client: client.clone(), subject, is_lost, progress }
    }

    /// Waits until another copy may have the event.
    pub(super) async fn lost(&self) {
        let mut is_lost = self.is_lost.clone();
        // The task that sends ends with this.
        if is_lost.wait_for(|is_lost| *is_lost).await.is_err() {
            std::future::pending().await
        }
    }

    /// Ends the event.
    pub(super) async fn ack(self) {
        self.progress.abort();
        let until = Instant::now() + ACK_WAIT;
        while Instant::now() < until {
            if ask(&self.client, &self.subject, "+ACK".to_owned()).await {
                return;
            }
            sleep(PAUSE).await;
        }
        debug!(subject = %self.subject, "ack of an event not confirmed, the event may come again");
    }

    /// Gives the event back, to be delivered again after this time. If the server does not hear of it, that is after
    /// `ack_wait`.
    pub(super) async fn give_back(self, after: Duration) {
        self.progress.abort();
        give_back(&self.client, &self.subject, after).await;
    }
}

/// Gives a message back that is not in hand.
pub(super) async fn give_back(client: &Client, subject: &Subject, after: Duration) {
    let nak = match after.is_zero() {
        true => "-NAK".to_owned(),
        false => format!("-NAK {{\"delay\": {}}}", after.as_nanos()),
    };
    for _ in 0..3 {
        if ask(client, subject, nak.clone()).await {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Says that the event is still in hand, until nobody has confirmed that for too long.
async fn hold(client: Client, subject: Subject, lost: watch::Sender<bool>) {
    let mut confirmed = Instant::now();
    let mut pause = PROGRESS;
    loop {
        sleep(pause).await;
        // Before the next one: after a pause of the process the server answers, and the event is another copy's.
        let now = Instant::now();
        if now.saturating_duration_since(confirmed) > ACK_WAIT / 2 {
            let _ = lost.send(true);
            return;
        }
        let is_confirmed = ask(&client, &subject, "+WPI".to_owned()).await;
        pause = if is_confirmed { PROGRESS } else { PAUSE };
        if is_confirmed {
            confirmed = now;
        }
    }
}

async fn ask(client: &Client, subject: &Subject, what: String) -> bool {
    let request = Request::new().payload(what.into()).timeout(Some(ONE_ACK));
    let asked = tokio::time::timeout(ONE_ACK, client.send_request(subject.clone(), request)).await;
    matches!(asked, Ok(Ok(_)))
}

/// The sequence of a message, and the number of its deliveries before this one.
pub(super) fn place(message: &Message) -> Option<(u64, u32)> {
    let tokens: Vec<&str> = message.reply.as_ref()?.split('.').collect();
    // $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.…, with a domain and an account before the stream in newer ones.
    let at = if tokens.len() >= 11 { 6 } else { 4 };
    let delivered: u32 = tokens.get(at)?.parse().ok()?;
    Some((tokens.get(at + 1)?.parse().ok()?, delivered.saturating_sub(1)))
}
