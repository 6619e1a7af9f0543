//! The events that a file has when it is opened.

use rusqlite::Connection;
use tracing::warn;

use super::rows;
use crate::contract::Callback;

/// The waiting events of an rpc at the start.
#[derive(Debug)]
pub(in crate::outbox) struct Standing {
    pub(in crate::outbox) rpc: &'static str,
    pub(in crate::outbox) events: usize,
    pub(in crate::outbox) bytes: usize,
    /// When the oldest one arrived, milliseconds since 1970.
    pub(in crate::outbox) oldest: i64,
}

/// The events of a file that was opened.
pub(super) struct Found {
    pub(super) standing: Vec<Standing>,
    /// The first number that is free.
    pub(super) number: u64,
    /// The latest time that was written.
    pub(super) latest: i64,
}

/// Finds the events that wait. Those of an rpc that is not known stay.
pub(super) fn standing(connection: &Connection) -> rusqlite::Result<Found> {
    rows::promote_all(connection)?;
    let mut query = connection.prepare(
        "select name, count(*), sum(bytes), min(events.id) from events indexed by events_ready
         join rpcs on rpcs.id = events.rpc group by events.rpc",
    )?;
    let found = query.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    })?;
    let mut standing = Vec::new();
    for found in found {
        let (name, events, bytes, first) = found?;
        let Some(callback) = Callback::by_rpc(&name) else {
            warn!(rpc = name, events, "outbox has events of an unknown rpc, left on disk");
            continue;
        };
        let arrived = "select arrived from events where id = ?";
        let oldest = connection.query_row(arrived, [first], |row| row.get(0))?;
        let count = |number: i64| usize::try_from(number).unwrap_or(0);
        standing.push(Standing { rpc: callback.rpc, events: count(events), bytes: count(bytes), oldest });
    }
    let highest = "select max(coalesce((select max(id) from events), 0), coalesce((select max(id) from dead), 0),
                   coalesce((select value from marks where name = 'number'), 0))";
    let number: i64 = connection.query_row(highest, [], |row| row.get(0))?;
    let latest = "select coalesce((select arrived from events order by id desc limit 1), 0)";
    let latest = connection.query_row(latest, [], |row| row.get(0))?;
    Ok(Found { standing, number: u64::try_from(number).unwrap_or(0) + 1, latest })
}
