//! The ordering keys that have undelivered events: whose turn it is.
//!
//! Of the events of a key one goes on: in flight, loaded, or waiting for its next attempt. The others stand behind it in
//! the store, and are asked for one by one.

use std::collections::HashMap;
use std::time::Duration;

use super::entry::Key;
use super::hold::Hold;

/// Maximum number of keys remembered for the hold that they have used alone.
const REMEMBERED: usize = 20_000;

/// The keys that are busy.
#[derive(Debug, Default)]
pub(super) struct Keys {
    states: HashMap<Key, KeyState>,
    /// The keys that are remembered for the hold that they have used alone.
    remembered: usize,
}

/// The state of a key.
#[derive(Debug, Default)]
struct KeyState {
    /// True if an event of it goes on.
    goes: bool,
    /// The events that stand behind that one.
    behind: usize,
    hold: Hold,
}

impl KeyState {
    fn is_remembered(&self) -> bool {
        !self.goes && self.behind == 0
    }
}

impl Keys {
    /// Adds what is in the store at the start: one that goes on, and those behind it.
    pub(super) fn found(&mut self, key: Key, events: usize) {
        let state = self.states.entry(key).or_default();
        (state.goes, state.behind) = (true, events.saturating_sub(1));
    }

    pub(super) fn is_busy(&self, key: &Key) -> bool {
        self.states.get(key).is_some_and(|state| state.goes)
    }

    /// Notes that an event of a key that is not busy goes on.
    pub(super) fn goes(&mut self, key: &Key) {
        match self.states.get_mut(key) {
            Some(state) => {
                self.remembered -= usize::from(state.is_remembered());
                state.goes = true;
            }
            None => _ = self.states.insert(key.clone(), KeyState { goes: true, ..KeyState::default() }),
        }
    }

    /// Notes that another event stands behind.
    pub(super) fn waits(&mut self, key: &Key) {
        if let Some(state) = self.states.get_mut(key) {
            state.behind += 1;
        }
    }

    /// Notes that an event that stood behind is gone.
    pub(super) fn leaves(&mut self, key: &Key) {
        if let Some(state) = self.states.get_mut(key) {
            state.behind = state.behind.saturating_sub(1);
        }
    }

    /// Notes that the event that went on holds up the others no more: it ended, or is parked. If it has failed, the part of
    /// the hold that it used by this time of the limiter's clock stays used. Returns true if another one is to be asked for; it
    /// goes on from now on.
    pub(super) fn released(&mut self, key: &Key, now: Duration) -> bool {
        let Some(state) = self.states.get_mut(key) else { return false };
        state.hold.stop(now);
        if state.behind > 0 {
            state.behind -= 1;
            return true;
        }
        self.rests(key);
        false
    }

    /// Notes that no event goes on, and none stands behind.
    fn rests(&mut self, key: &Key) {
        let Some(state) = self.states.get_mut(key) else { return };
        let was_remembered = state.is_remembered();
        state.goes = false;
        if state.hold.used.is_zero() {
            self.states.remove(key);
            self.remembered = self.remembered.saturating_sub(usize::from(was_remembered));
        } else if !was_remembered {
            self.remembered += 1;
            if self.remembered > REMEMBERED {
                self.states.retain(|_, state| !state.is_remembered());
                self.remembered = 0;
            }
        }
    }

    /// Notes a success: the key has its whole hold again.
    pub(super) fn succeeded(&mut self, key: &Key) {
        if let Some(state) = self.states.get_mut(key) {
            state.hold = Hold::default();
        }
    }

    /// Notes a failure of the event that goes on, whose attempt began at `began` of the limiter's clock, which is at `now`.
    /// Returns the part of the hold that is used.
    pub(super) fn failed(&mut self, key: &Key, began: Duration, now: Duration) -> Duration {
        let Some(state) = self.states.get_mut(key) else { return Duration::ZERO };
        state.hold.failed(began, now)
    }

    /// Notes that so much of the hold is used, by an event that holds up the others no more.
    pub(super) fn set_used(&mut self, key: &Key, used: Duration) {
        if let Some(state) = self.states.get_mut(key) {
            state.hold = Hold { failing_since: None, used };
        }
    }

    /// Returns true if the hold of a key is used up.
    pub(super) fn is_spent(&self, key: &Key, hold: Duration) -> bool {
        self.states.get(key).is_some_and(|state| state.hold.is_spent(hold))
    }

    /// Returns the number of keys whose event fails.
    pub(super) fn failing(&self) -> usize {
        self.states.values().filter(|state| state.hold.failing_since.is_some()).count()
    }

    /// Returns the number of keys whose event fails while others stand behind it.
    pub(super) fn blocked(&self) -> usize {
        self.states.values().filter(|state| state.hold.failing_since.is_some() && state.behind > 0).count()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
