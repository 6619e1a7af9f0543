//! The events that a file has when it is opened.

use rusqlite::{Connection, OptionalExtension};
use tracing::warn;

use crate::contract::Callback;
use crate::outbox::entry::Key;

/// The events that wait at the start.
#[derive(Debug, Default)]
pub(in crate::outbox) struct Standing {
    pub(in crate::outbox) rpcs: Vec<StandingRpc>,
    /// The keys of those that are not parked.
    pub(in crate::outbox) keys: Vec<StandingKey>,
}

/// The events of a key.
#[derive(Debug)]
pub(in crate::outbox) struct StandingKey {
    pub(in crate::outbox) key: Key,
    pub(in crate::outbox) events: usize,
    /// True if the row of the first one says that it is behind another, as it may while hookgate serves.
    pub(in crate::outbox) is_first_behind: bool,
}

/// The events of an rpc that wait at the start.
#[derive(Debug)]
pub(in crate::outbox) struct StandingRpc {
    pub(in crate::outbox) rpc: &'static str,
    pub(in crate::outbox) events: usize,
    pub(in crate::outbox) parked: usize,
    pub(in crate::outbox) bytes: usize,
}

/// The events of a file that was opened.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) standing: Standing,
    /// The lowest number that no event has had, as far as the file knows.
    pub(super) number: u64,
    /// The latest time that was written, in milliseconds since 1970.
    pub(super) latest: i64,
}

/// Finds the events that wait. Those of an rpc that is not known stay.
pub(super) fn standing(connection: &Connection) -> rusqlite::Result<Found> {
    let mut standing = Standing::default();
    let mut query = connection.prepare(
        "select name, count(*), sum(parked), sum(bytes) from events indexed by events_ready
         join names on names.id = events.rpc group by events.rpc",
    )?;
    let mut found = query.query([])?;
    while let Some(row) = found.next()? {
        let (name, count): (String, _) = (row.get(0)?, |column| row.get::<_, i64>(column));
        let (events, parked, bytes) = (count(1)?, count(2)?, count(3)?);
        let Some(callback) = Callback::by_rpc(&name) else {
            warn!(rpc = name, events, "outbox has events of an unknown rpc, left on disk");
            continue;
        };
        let [events, parked, bytes] = [events, parked, bytes].map(|count| usize::try_from(count).unwrap_or_default());
        standing.rpcs.push(StandingRpc { rpc: callback.rpc, events, parked, bytes });
    }
    let mut query = connection.prepare(
        "select name, key, count(*), behind, min(events.id) from events indexed by events_keyed
         join names on names.id = events.domain where key is not null and parked = 0 group by domain, key",
    )?;
    let mut found = query.query([])?;
    let domains = || Callback::all().iter().map(|callback| callback.order_domain);
    while let Some(row) = found.next()? {
        let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
        if let Some(domain) = domains().find(|domain| **domain == *name) {
            let events = usize::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
            let key = Key { domain, value: value.into() };
            standing.keys.push(StandingKey { key, events, is_first_behind: row.get(3)? });
        }
    }
    let highest =
        "select max(coalesce((select max(id) + 1 from events), 0), coalesce((select max(id) + 1 from dead), 0),
                   coalesce((select value from marks where name = 'number'), 0))";
    let number: i64 = connection.query_row(highest, [], |row| row.get(0))?;
    let latest = "select coalesce((select arrived from events order by id desc limit 1), 0)";
    let latest = connection.query_row(latest, [], |row| row.get(0))?;
    Ok(Found { standing, number: u64::try_from(number).unwrap_or(0), latest })
}

/// Returns the arrival of the oldest event of each rpc, in milliseconds since 1970, as far as an index has it: of those that
/// wait for their next attempt the one that has been due for the longest time stands for all.
pub(super) fn oldest(connection: &Connection) -> rusqlite::Result<Vec<(&'static str, i64)>> {
    let mut names = connection.prepare_cached("select id, name from names")?;
    let mut rows = names.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let Some(callback) = Callback::by_rpc(&name) else { continue };
        let mut oldest: Option<i64> = None;
        for which in ["parked = 0 and behind = 0", "parked = 0 and behind = 1", "parked = 1 and behind = 0"] {
            for order in ["due is null order by events.id", "due is not null order by due"] {
                let query = format!(
                    "select arrived from events indexed by events_ready where rpc = ? and {which} and {order} limit 1"
                );
                let first: Option<i64> =
                    connection.prepare_cached(&query)?.query_row([id], |row| row.get(0)).optional()?;
                oldest = oldest.into_iter().chain(first).min();
            }
        }
        all.extend(oldest.map(|oldest| (callback.rpc, oldest)));
    }
    Ok(all)
}
