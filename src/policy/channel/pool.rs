//! The connections to a policy's addresses, as calls see them: which one takes the next call, whether one is about to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::http2::SendRequest;
use serde::Serialize;
use tokio::sync::watch;
use tonic::body::Body;

/// One connection an address.
#[derive(Debug)]
pub(super) struct Pool {
    members: Mutex<Members>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<Member>,
    /// Where the search for the next connection begins, so that idle ones take turns.
    turn: usize,
    /// How often the addresses had to be asked for at once, and how many of these are answered.
    asked: u64,
    resolved: u64,
    /// How many connections have come and gone.
    turnover: u64,
    /// Why the name has no addresses.
    unresolved: Option<String>,
}

#[derive(Debug)]
struct Member {
    address: SocketAddr,
    /// Whether the name still leads there.
    named: bool,
    link: Link,
}

#[derive(Debug)]
enum Link {
    /// Calls wait for what becomes of an attempt: the first one, or one that a call has hurried.
    Awaited,
    Ready {
        calls: SendRequest<Body>,
        load: Arc<Load>,
    },
    /// Calls do not wait for the attempts after it.
    Failed(Failed),
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) why: String,
    /// It took no time and little work: nothing listens there, or what does hangs up.
    pub(super) prompt: bool,
}

/// What a connection carries.
#[derive(Debug, Default)]
pub(super) struct Load {
    in_flight: AtomicUsize,
    pub(super) answered: AtomicBool,
}

/// A connection that a call is given to.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) calls: SendRequest<Body>,
    pub(super) place: Place,
}

/// Where a call is. Counts as one in flight.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) load: Arc<Load>,
}

/// An address of the policy service.
#[derive(Debug, Clone, Serialize)]
pub struct Address {
    /// Where it is.
    pub address: SocketAddr,
    /// `ready`, `connecting`, or why it is not connected.
    pub state: String,
    /// Calls whose answer has not begun.
    pub in_flight: usize,
}

impl Pool {
    /// Without addresses, which calls wait for.
    pub(super) fn new() -> Self {
        let members = Mutex::new(Members { asked: 1, ..Members::default() });
        Self { members, changes: watch::Sender::new(()) }
    }

    /// The ready connection with the fewest calls. Waits where one is about to be ready; says why there is none, as
    /// of after the call: an address that failed promptly is tried once more.
    pub(super) async fn carrier(&self) -> Result<Carrier, String> {
        let mut changes = None;
        let mut hurried = false;
        loop {
            let turn = self.members().choose();
            match (turn, &mut changes) {
                (Some(Err(_)), _) if !hurried && self.hurry() => hurried = true,
                (Some(result), _) => return result,
                // Whatever changes from here on is seen.
                (None, None) => changes = Some(self.changes()),
                // Never an error: the sender is ours.
                (None, Some(changes)) => drop(changes.changed().await),
            }
        }
    }

    /// Has the addresses that failed promptly tried again; says whether there is anything to wait for.
    fn hurry(&self) -> bool {
        self.change(|members| {
            for member in &mut members.list {
                if matches!(&member.link, Link::Failed(failed) if failed.prompt) {
                    member.link = Link::Awaited;
                }
            }
            members.list.iter().any(|member| !matches!(member.link, Link::Failed(_)))
        })
    }

    /// Takes in what the name leads to, as asked for when `asked`; gives the addresses that are new.
    pub(super) fn resolved(&self, asked: u64, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut new = Vec::new();
        self.change(|members| {
            (members.resolved, members.unresolved) = (asked, None);
            members.list.iter_mut().for_each(|member| member.named = addresses.contains(&member.address));
            for &address in addresses {
                if !members.list.iter().any(|member| member.address == address) {
                    members.list.push(Member { address, named: true, link: Link::Awaited });
                    new.push(address);
                }
            }
        });
        new
    }

    /// Takes in that the name leads nowhere. Addresses that were known stay.
    pub(super) fn unresolved(&self, asked: u64, why: String) {
        self.change(|members| (members.resolved, members.unresolved) = (asked, Some(why)));
    }

    /// An address is connected.
    pub(super) fn ready(&self, address: SocketAddr, calls: SendRequest<Body>) -> Arc<Load> {
        let load = Arc::new(Load::default());
        let link = Link::Ready { calls, load: load.clone() };
        self.change(|members| {
            if let Some(member) = members.member(address) {
                member.link = link;
                members.turnover += 1;
            }
        });
        load
    }

    /// A connection takes no more calls. Another attempt begins at once, and so does a look at the name: calls wait.
    pub(super) fn lost(&self, address: SocketAddr, load: &Arc<Load>) {
        self.change(|members| {
            // It may be known already.
            if let Some(member) = members.member(address).filter(|member| member.holds(load)) {
                member.link = Link::Awaited;
                members.asked += 1;
                members.turnover += 1;
            }
        });
    }

    /// An attempt failed, or a connection was no good; the next attempt comes after a pause.
    pub(super) fn failed(&self, address: SocketAddr, failed: Failed) {
        self.change(|members| {
            if let Some(member) = members.member(address) {
                let gone = matches!(std::mem::replace(&mut member.link, Link::Failed(failed)), Link::Ready { .. });
                members.turnover += u64::from(gone);
            }
        });
    }

    /// Whether a call waits for an attempt at this address.
    pub(super) fn is_awaited(&self, address: SocketAddr) -> bool {
        self.members().member(address).is_some_and(|member| matches!(member.link, Link::Awaited))
    }

    /// Whether an address without a connection is still to be connected. If not, it is forgotten.
    pub(super) fn keeps(&self, address: SocketAddr) -> bool {
        self.change(|members| {
            members.list.retain(|member| member.address != address || member.named);
            members.member(address).is_some()
        })
    }

    /// How often the addresses had to be asked for; whether they have to be now; whether they may help.
    pub(super) fn name(&self) -> (u64, bool, bool) {
        let members = self.members();
        let failing = members.list.iter().any(|member| !matches!(member.link, Link::Ready { .. }));
        (members.asked, members.asked > members.resolved, failing || members.unresolved.is_some())
    }

    /// Whether a call would be carried at once.
    pub(super) fn any_ready(&self) -> bool {
        self.members().list.iter().any(|member| matches!(member.link, Link::Ready { .. }))
    }

    /// How many connections have come and gone.
    pub(super) fn turnover(&self) -> u64 {
        self.members().turnover
    }

    /// Tells when something has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Every address, and why the name has no others.
    pub(super) fn status(&self) -> (Vec<Address>, Option<String>) {
        let members = self.members();
        let addresses = members.list.iter().map(|member| {
            let (state, in_flight) = match &member.link {
                Link::Awaited => ("connecting", 0),
                Link::Ready { load, .. } => ("ready", load.in_flight.load(Ordering::Relaxed)),
                Link::Failed(failed) => (&*failed.why, 0),
            };
            Address { address: member.address, state: state.to_owned(), in_flight }
        });
        (addresses.collect(), members.unresolved.clone())
    }

    fn change<R>(&self, change: impl FnOnce(&mut Members) -> R) -> R {
        let result = change(&mut self.members());
        self.changes.send_replace(());
        result
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    /// A connection, or why there is none, or nothing yet.
    fn choose(&mut self) -> Option<Result<Carrier, String>> {
        self.turn = self.turn.wrapping_add(1);
        let count = self.list.len();
        let in_turn = (0..count).map(|n| &self.list[(self.turn + n) % count]);
        let ready = in_turn.filter_map(|member| match &member.link {
            Link::Ready { calls, load } => Some((member.address, calls, load)),
            _ => None,
        });
        if let Some((address, calls, load)) = ready.min_by_key(|(.., load)| load.in_flight.load(Ordering::Relaxed)) {
            load.in_flight.fetch_add(1, Ordering::Relaxed);
            let place = Place { address, load: load.clone() };
            return Some(Ok(Carrier { calls: calls.clone(), place }));
        }
        let connecting = self.list.iter().any(|member| matches!(member.link, Link::Awaited));
        if connecting || self.asked > self.resolved {
            return None;
        }
        let failed = self.list.iter().filter_map(|member| match &member.link {
            Link::Failed(Failed { why, .. }) => Some(format!("{}: {why}", member.address)),
            _ => None,
        });
        let whys: Vec<_> = failed.chain(self.unresolved.clone()).collect();
        Some(Err(whys.join("; ")))
    }

    fn member(&mut self, address: SocketAddr) -> Option<&mut Member> {
        self.list.iter_mut().find(|member| member.address == address)
    }
}

impl Member {
    fn holds(&self, load: &Arc<Load>) -> bool {
        matches!(&self.link, Link::Ready { load: held, .. } if Arc::ptr_eq(held, load))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
