//! The connections to a policy's addresses, shared by the calls that they carry and the tasks that keep them up.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::call::Calls;
use super::members::{Carrier, Choice, Failed, Link, Load, Member, Members};
use crate::config;

/// How long a call waits for the attempt that it has hurried. A refusal takes far less.
const PATIENCE: Duration = Duration::from_millis(100);

/// One connection an address.
#[derive(Debug)]
pub(super) struct Pool {
    members: Mutex<Members>,
    changes: watch::Sender<()>,
}

/// How an address of the policy service stands.
#[derive(Debug, Clone, Serialize)]
pub struct AddressStatus {
    /// Where it is.
    pub address: config::Address,
    /// `ready`, `connecting`, or why it is not connected.
    pub state: String,
    /// Calls whose answer has not begun.
    pub in_flight: usize,
    /// Whether it is connected.
    #[serde(skip)]
    pub is_ready: bool,
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
        let (mut since, mut changes, mut patience) = (None, None, None);
        loop {
            let choice = self.members().choose(&mut since);
            let hurried = match choice {
                Choice::Go(carrier) => return Ok(carrier),
                Choice::Fail(why) => return Err(why),
                Choice::Wait => None,
                Choice::Hurry { anew, why } => {
                    if anew {
                        self.changes.send_replace(());
                    }
                    Some((*patience.get_or_insert_with(|| Instant::now() + PATIENCE), why))
                }
            };
            let Some(changes) = &mut changes else {
                // Whatever changes from here on is seen.
                changes = Some(self.changes());
                continue;
            };
            // Never an error: the sender is ours.
            match hurried {
                None => drop(changes.changed().await),
                Some((until, why)) => drop(timeout_at(until, changes.changed()).await.map_err(|_| why)?),
            }
        }
    }

    /// An attempt to connect begins; gives its number.
    pub(super) fn begin(&self, address: &config::Address) -> u64 {
        let members = &mut *self.members();
        members.attempts += 1;
        if let Some(member) = members.list.iter_mut().find(|member| member.address == *address) {
            member.hurried = false;
        }
        members.attempts
    }

    /// Takes in what the name leads to, as asked for when `asked`; gives the addresses that are new.
    pub(super) fn resolved(&self, asked: u64, addresses: &[config::Address]) -> Vec<config::Address> {
        let mut new = Vec::new();
        self.change(|members| {
            (members.resolved, members.unresolved) = (asked, None);
            members.list.iter_mut().for_each(|member| member.named = addresses.contains(&member.address));
            for address in addresses {
                if !members.list.iter().any(|member| member.address == *address) {
                    let address = address.clone();
                    new.push(address.clone());
                    members.list.push(Member { address, named: true, link: Link::First, hurried: false });
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
    pub(super) fn ready(&self, address: &config::Address, calls: Calls) -> Arc<Load> {
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
    pub(super) fn lost(&self, address: &config::Address, load: &Arc<Load>) {
        self.change(|members| {
            // It may be known already.
            if let Some(member) = members.member(address).filter(|member| member.holds(load)) {
                member.link = Link::First;
                members.asked += 1;
                members.turnover += 1;
            }
        });
    }

    /// An attempt failed, or a connection was no good; the next attempt comes after a pause.
    pub(super) fn failed(&self, address: &config::Address, failed: Failed) {
        self.change(|members| {
            if let Some(member) = members.member(address) {
                let gone = matches!(std::mem::replace(&mut member.link, Link::Failed(failed)), Link::Ready { .. });
                members.turnover += u64::from(gone);
            }
        });
    }

    /// Whether a call waits for another attempt at this address.
    pub(super) fn is_hurried(&self, address: &config::Address) -> bool {
        self.members().member(address).is_some_and(|member| member.hurried)
    }

    /// Whether an address without a connection is still to be connected. If not, it is forgotten.
    pub(super) fn keeps(&self, address: &config::Address) -> bool {
        self.change(|members| {
            members.list.retain(|member| member.address != *address || member.named);
            members.member(address).is_some()
        })
    }

    /// How often the addresses had to be asked for; whether they have to be now; whether they may help.
    pub(super) fn name(&self) -> (u64, bool, bool) {
        let members = self.members();
        let failing = members.list.iter().any(|member| matches!(member.link, Link::Failed(_)));
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
    pub(super) fn status(&self) -> (Vec<AddressStatus>, Option<String>) {
        let members = self.members();
        let addresses = members.list.iter().map(|member| {
            let (state, in_flight) = match &member.link {
                Link::First => ("connecting", 0),
                Link::Ready { load, .. } => ("ready", load.in_flight.load(Ordering::Relaxed)),
                Link::Failed(failed) => (&*failed.why, 0),
            };
            let is_ready = matches!(member.link, Link::Ready { .. });
            AddressStatus { address: member.address.clone(), state: state.to_owned(), in_flight, is_ready }
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
