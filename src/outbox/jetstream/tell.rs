//! Messages between copies, beside the streams: who has an event in hand, and which keys have used up their hold. None of
//! it is needed for the promises; a message that is lost costs a second delivery, or a key its hold once more.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::StreamExt;

use super::JetStream;
use super::pace::Pace;
use super::publish::Publisher;
use crate::contract::Callback;
use crate::outbox::entry::Key;

/// The hold of a key is used up.
const SPENT: char = '-';

/// A key has its whole hold again.
const WHOLE: char = '+';

impl JetStream {
    /// Listens to the other copies.
    pub(super) async fn listen(self: Arc<Self>) {
        let Publisher { api, names, .. } = &self.publisher;
        let Ok(mut questions) = api.client.subscribe(names.holding()).await else { return };
        let Ok(mut holds) = api.client.subscribe(names.holds()).await else { return };
        loop {
            tokio::select! {
                Some(question) = questions.next() => self.answer_who_holds(question).await,
                Some(told) = holds.next() => self.hear_hold(&told),
                () = self.given_up.cancelled() => return,
                else => return,
            }
        }
    }

    async fn answer_who_holds(&self, question: Message) {
        let is_held = std::str::from_utf8(&question.payload).is_ok_and(|id| self.pace.lock().hands.contains_key(id));
        if let (true, Some(reply)) = (is_held, question.reply) {
            // Whoever asked takes silence for a no.
            let _ = self.publisher.api.client.publish(reply, "held".into()).await;
        }
    }

    /// Notes what another copy tells of the hold of a key.
    fn hear_hold(&self, told: &Message) {
        let Ok(text) = std::str::from_utf8(&told.payload) else { return };
        let mut rest = text.chars();
        let what = rest.next();
        let Some((domain, value)) = rest.as_str().split_once(' ') else { return };
        let Some(callback) = Callback::all().iter().find(|callback| callback.order_domain == domain) else { return };
        let key = Key { domain: callback.order_domain, value: value.into() };
        match what {
            Some(SPENT) => self.pace.note_used(&key, self.pace.settings.hold),
            Some(WHOLE) => self.pace.note_used(&key, Duration::ZERO),
            _ => {}
        }
    }

    /// Tells the other copies that a key has used up its hold, or has it again.
    pub(super) async fn tell_hold(&self, key: &Key, is_spent: bool) {
        let Publisher { api, names, .. } = &self.publisher;
        let what = if is_spent { SPENT } else { WHOLE };
        let _ = api.client.publish(names.holds(), format!("{what}{} {}", key.domain, key.value).into()).await;
    }
}

impl Pace {
    /// Returns true if a key has used up its hold.
    pub(super) fn is_spent(&self, key: &Key) -> bool {
        self.lock().keys.is_spent(key, self.settings.hold)
    }

    /// Notes how much of its hold a key has used, as another copy tells it.
    fn note_used(&self, key: &Key, used: Duration) {
        let keys = &mut self.lock().keys;
        let is_busy = keys.is_busy(key);
        if !is_busy {
            keys.goes(key);
        }
        keys.set_used(key, used);
        if !is_busy {
            keys.released(key, Duration::ZERO);
        }
    }
}
