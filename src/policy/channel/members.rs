//! The addresses of a policy: how each is connected, and which one takes the next call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::call::Calls;
use crate::config::Address;

/// The addresses, and what has been done about them.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) list: Vec<Member>,
    /// Where the search for the next connection begins, so that idle ones take turns.
    pub(super) turn: usize,
    /// How often the addresses had to be asked for at once, and how many of these are answered.
    pub(super) asked: u64,
    pub(super) resolved: u64,
    /// How many connections have come and gone.
    pub(super) turnover: u64,
    /// How many attempts to connect have begun.
    pub(super) attempts: u64,
    /// Why the name has no addresses.
    pub(super) unresolved: Option<String>,
}

/// An address.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) address: Address,
    /// Whether the name still leads there.
    pub(super) named: bool,
    pub(super) link: Link,
    /// Whether a call waits for another attempt.
    pub(super) hurried: bool,
}

/// How it is connected.
#[derive(Debug)]
pub(super) enum Link {
    /// Calls wait for what becomes of the first attempt.
    First,
    Ready {
        calls: Calls,
        load: Arc<Load>,
    },
    /// Of the attempts after it, calls wait for one at most.
    Failed(Failed),
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) struct Failed {
    /// Which one it was: its number among all of the pool's.
    pub(super) attempt: u64,
    pub(super) why: String,
    /// It took no time and little work: nothing listens there, or what does hangs up.
    pub(super) prompt: bool,
}

/// What a connection carries.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) in_flight: AtomicUsize,
    pub(super) answered: AtomicBool,
}

/// A connection that a call is given to.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) calls: Calls,
    pub(super) place: Place,
}

/// Where a call is. Counts as one in flight.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) load: Arc<Load>,
}

/// What a call can do now.
pub(super) enum Choice {
    Go(Carrier),
    Fail(String),
    Wait,
    /// For an attempt that is to begin soon, and not for long: an address that refused may be a black hole by now.
    Hurry {
        /// Whether it is this call that has it begin.
        anew: bool,
        why: String,
    },
}

impl Members {
    /// What a call can do that came when so many attempts had begun.
    pub(super) fn choose(&mut self, since: &mut Option<u64>) -> Choice {
        let since = *since.get_or_insert(self.attempts);
        self.turn = self.turn.wrapping_add(1);
        let count = self.list.len();
        let in_turn = (0..count).map(|n| &self.list[(self.turn + n) % count]);
        let ready = in_turn.filter_map(|member| match &member.link {
            Link::Ready { calls, load } => Some((&member.address, calls, load)),
            _ => None,
        });
        if let Some((address, calls, load)) = ready.min_by_key(|(.., load)| load.in_flight.load(Ordering::Relaxed)) {
            load.in_flight.fetch_add(1, Ordering::Relaxed);
            let place = Place { address: address.clone(), load: load.clone() };
            return Choice::Go(Carrier { calls: calls.clone(), place });
        }
        let connecting = self.list.iter().any(|member| matches!(member.link, Link::First));
        if connecting || self.asked > self.resolved {
            return Choice::Wait;
        }
        let (mut waits, mut anew) = (false, false);
        for member in &mut self.list {
            if matches!(&member.link, Link::Failed(failed) if failed.prompt && failed.attempt <= since) {
                waits = true;
                anew |= !std::mem::replace(&mut member.hurried, true);
            }
        }
        let failed = self.list.iter().filter_map(|member| match &member.link {
            Link::Failed(Failed { why, .. }) => Some(format!("{}: {why}", member.address)),
            _ => None,
        });
        let whys: Vec<_> = failed.chain(self.unresolved.clone()).collect();
        let why = whys.join("; ");
        if waits { Choice::Hurry { anew, why } } else { Choice::Fail(why) }
    }

    pub(super) fn member(&mut self, address: &Address) -> Option<&mut Member> {
        self.list.iter_mut().find(|member| member.address == *address)
    }
}

impl Member {
    pub(super) fn holds(&self, load: &Arc<Load>) -> bool {
        matches!(&self.link, Link::Ready { load: held, .. } if Arc::ptr_eq(held, load))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
