//! What people ask of the events on disk.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rows;
use crate::callback::Callback;
use crate::policy::metadata;
use crate::wire::{self, Record};

/// Which events are meant; what is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The one with this ID.
    pub id: Option<String>,
    /// Those of this rpc: its path.
    pub rpc: Option<String>,
    /// Those that ended for this reason.
    pub reason: Option<String>,
    /// Those that ended, or arrived where they have not ended, at this time or later: milliseconds since 1970.
    pub since: Option<i64>,
    /// Those that wait or those that have ended.
    pub state: Option<State>,
    /// Every one: said by whoever gives no other condition and means it.
    pub all: bool,
    /// Those behind this place: where an earlier answer ended.
    pub after: Option<i64>,
    /// So many at most.
    pub limit: Option<usize>,
}

/// Whether an event waits or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for its delivery or is on its way.
    Waiting,
    /// It has ended undelivered and is kept for whoever looks for it.
    Dead,
}

/// An event on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its `hookgate-event-id`.
    pub id: String,
    /// Whether it waits.
    pub state: State,
    /// The rpc's path.
    pub rpc: String,
    /// What it belongs to.
    pub key: Option<String>,
    /// When it arrived: milliseconds since 1970.
    pub arrived: i64,
    /// Attempts that have ended.
    pub attempts: u32,
    /// Its size, about.
    pub bytes: i64,
    /// When its next attempt is due; none while it is behind another.
    pub due: Option<i64>,
    /// When it ended.
    pub died: Option<i64>,
    /// Why it ended.
    pub reason: Option<String>,
    /// The class of the last failure, where it ended by one.
    pub class: Option<String>,
    /// What travels beside the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// The message, as far as it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
}

/// How many events there are of an rpc in a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// The rpc's path.
    pub rpc: String,
    /// Whether they wait.
    pub state: State,
    /// Why they ended.
    pub reason: Option<String>,
    /// How many.
    pub events: i64,
    /// Their bytes, about.
    pub bytes: i64,
    /// When the oldest one arrived: milliseconds since 1970.
    pub oldest: i64,
}

/// How many there are, by rpc, state and reason.
pub fn counts(connection: &Connection) -> rusqlite::Result<Vec<Count>> {
    let mut counts = Vec::new();
    for (state, query) in [
        (
            State::Waiting,
            "select rpc, null, count(*), sum(bytes), min(id) from events indexed by events_ready group by rpc",
        ),
        (State::Dead, "select rpc, reason, count(*), sum(bytes), min(id) from dead group by rpc, reason"),
    ] {
        let mut query = connection.prepare(query)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let table = table(state);
            let oldest = format!("select arrived from {table} where id = ?");
            counts.push(Count {
                rpc: name(connection, row.get(0)?)?,
                state,
                reason: row.get(1)?,
                events: row.get(2)?,
                bytes: row.get(3)?,
                oldest: connection.query_row(&oldest, [row.get::<_, i64>(4)?], |row| row.get(0))?,
            });
        }
    }
    counts.sort_by(|one, other| one.rpc.cmp(&other.rpc));
    Ok(counts)
}

/// The events that are meant, without their content: those that wait first, in the order of their arrival.
pub fn list(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Item>> {
    let mut items = Vec::new();
    for state in states(filter) {
        let (conditions, mut values) = conditions(connection, filter, state)?;
        let limit = filter.limit.unwrap_or(100).saturating_sub(items.len());
        values.push(Sql::from(i64::try_from(limit).unwrap_or(i64::MAX)));
        let mut query = connection.prepare(&format!(
            "select {} from {} where {conditions} order by id limit ?",
            columns(state),
            table(state)
        ))?;
        let mut rows = query.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            items.push(item(connection, row, state)?);
        }
    }
    Ok(items)
}

/// How many are replayed or dropped at a time: nobody else writes meanwhile.
pub(in crate::events) const AT_A_TIME: usize = 1_000;

/// The places of those that ended and are meant, some at a time, in the order of their arrival.
pub(in crate::events) fn meant(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<i64>> {
    let (query, values) = meant_query(connection, filter)?;
    connection.prepare(&query)?.query_map(params_from_iter(values), |row| row.get(0))?.collect()
}

fn meant_query(connection: &Connection, filter: &Filter) -> rusqlite::Result<(String, Vec<Sql>)> {
    let (conditions, mut values) = conditions(connection, filter, State::Dead)?;
    values.push(Sql::from(i64::try_from(filter.limit.unwrap_or(AT_A_TIME).min(AT_A_TIME)).unwrap_or(i64::MAX)));
    Ok((format!("select id from dead {} where {conditions} order by id limit ?", by_place(filter)), values))
}

/// Whoever goes on from a place goes through the table from there. An index would lead to everything that is meant each
/// time.
fn by_place(filter: &Filter) -> &'static str {
    if filter.after.is_some() && filter.id.is_none() { "not indexed" } else { "" }
}

/// How many are meant.
pub fn count(connection: &Connection, filter: &Filter) -> rusqlite::Result<i64> {
    let mut total = 0;
    for state in states(filter) {
        let (conditions, values) = conditions(connection, filter, state)?;
        let query = format!("select count(*) from {} where {conditions}", table(state));
        total += connection.query_row(&query, params_from_iter(values), |row| row.get::<_, i64>(0))?;
    }
    Ok(total)
}

/// One event with its content; what belongs in no log is left out unless it is to be revealed.
pub fn show(connection: &Connection, id: &str, reveal: bool) -> rusqlite::Result<Option<Item>> {
    for state in [State::Waiting, State::Dead] {
        let query =
            format!("select {}, metadata, message, sum from {} where event_id = ?", columns(state), table(state));
        let found = connection
            .query_row(&query, [id], |row| {
                let mut item = item(connection, row, state)?;
                let (metadata, message): (String, Vec<u8>) = (row.get(11)?, row.get(12)?);
                if row.get::<_, u32>(13)? == rows::sum(&metadata, &message) {
                    item.metadata = serde_json::from_str(&metadata).ok();
                    if let (false, Some(Value::Object(metadata))) = (reveal, &mut item.metadata) {
                        // Whoever has it can answer the message in OpenIM.
                        metadata.remove(metadata::REPLY_KEY.as_str());
                    }
                    item.message = Callback::by_rpc(&item.rpc).and_then(|callback| content(callback, &message, reveal));
                }
                Ok(item)
            })
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn content(callback: &Callback, message: &[u8], reveal: bool) -> Option<Value> {
    let record = Record::decode(callback.request, message).ok()?;
    let mut json = Vec::new();
    match reveal {
        true => wire::write_whole(&record, &mut json),
        false => wire::write_redacted(&record, &mut json),
    }
    serde_json::from_slice(&json).ok()
}

fn states(filter: &Filter) -> impl Iterator<Item = State> {
    let (state, ended) = (filter.state, filter.reason.is_some());
    [State::Waiting, State::Dead]
        .into_iter()
        .filter(move |one| state.is_none_or(|state| state == *one) && !(ended && *one == State::Waiting))
}

fn table(state: State) -> &'static str {
    match state {
        State::Waiting => "events",
        State::Dead => "dead",
    }
}

fn columns(state: State) -> &'static str {
    match state {
        State::Waiting => "event_id, rpc, key, arrived, attempts, bytes, due, null, null, null, id",
        State::Dead => "event_id, rpc, key, arrived, attempts, bytes, null, died, reason, class, id",
    }
}

fn conditions(connection: &Connection, filter: &Filter, state: State) -> rusqlite::Result<(String, Vec<Sql>)> {
    let (mut conditions, mut values) = (vec!["true"], Vec::new());
    if let Some(id) = &filter.id {
        conditions.push("event_id = ?");
        values.push(Sql::from(id.clone()));
    }
    if let Some(rpc) = &filter.rpc {
        let id = connection.query_row("select id from rpcs where name = ?", [rpc], |row| row.get::<_, i64>(0));
        conditions.push("rpc = ?");
        // An rpc that has never had an event has no number.
        values.push(Sql::from(id.optional()?.unwrap_or(-1)));
    }
    if let Some(reason) = &filter.reason {
        conditions.push("reason = ?");
        values.push(Sql::from(reason.clone()));
    }
    if let Some(since) = filter.since {
        conditions.push(if state == State::Dead { "died >= ?" } else { "arrived >= ?" });
        values.push(Sql::from(since));
    }
    if let Some(after) = filter.after {
        conditions.push("id > ?");
        values.push(Sql::from(after));
    }
    Ok((conditions.join(" and "), values))
}

fn item(connection: &Connection, row: &Row<'_>, state: State) -> rusqlite::Result<Item> {
    Ok(Item {
        id: row.get(0)?,
        state,
        rpc: name(connection, row.get(1)?)?,
        key: row.get(2)?,
        arrived: row.get(3)?,
        attempts: row.get(4)?,
        bytes: row.get(5)?,
        due: row.get(6)?,
        died: row.get(7)?,
        reason: row.get(8)?,
        class: row.get(9)?,
        metadata: None,
        message: None,
    })
}

/// The path of the rpc with this number.
pub(super) fn name(connection: &Connection, rpc: i64) -> rusqlite::Result<String> {
    connection.prepare_cached("select name from rpcs where id = ?")?.query_row([rpc], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

    use rusqlite::StatementStatus;

    use super::*;
    use crate::events::store::{act, open};

    const DEAD: i64 = 60_000;

    /// Of these many half ended for their age, and half of an rpc.
    fn filled() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        open::create(&connection).unwrap();
        let fill = format!(
            "insert into rpcs (name) values ('/openim.one'), ('/openim.other');
             insert into dead
             select value, 'e' || value, 1 + value % 2, null, value, 1, 1, 1, 0, value, iif(value % 2, 'age', 'attempts'), null,
                    '{{}}', zeroblob(100)
             from (with recursive n(value) as (select 1 union all select value + 1 from n where value < {DEAD}) select value from n)"
        );
        connection.execute_batch(&fill).unwrap();
        connection
    }

    /// Drops what is meant as `hookgate outbox` does; gives how many, and the steps that it took to find them.
    fn dropped(connection: &Connection, mut filter: Filter) -> (usize, i64) {
        let (mut dropped, mut steps) = (0, 0);
        loop {
            let (query, values) = meant_query(connection, &filter).unwrap();
            let mut query = connection.prepare(&query).unwrap();
            let found = query.query_map(params_from_iter(values), |row| row.get(0)).unwrap();
            let places: Vec<i64> = found.map(Result::unwrap).collect();
            steps += i64::from(query.get_status(StatementStatus::VmStep));
            let Some(last) = places.last() else { return (dropped, steps) };
            dropped += act::drop_dead(connection, &places).unwrap();
            filter.after = Some(*last);
        }
    }

    #[test]
    fn what_is_meant_is_found_in_one_go_through_all_that_ended() {
        let half = DEAD as usize / 2;
        for filter in [
            Filter { reason: Some("age".to_owned()), ..Filter::default() },
            Filter { rpc: Some("/openim.other".to_owned()), ..Filter::default() },
            Filter { since: Some(DEAD / 2 + 1), ..Filter::default() },
            Filter { since: Some(1), rpc: Some("/openim.one".to_owned()), ..Filter::default() },
        ] {
            let (found, steps) = dropped(&filled(), filter.clone());
            assert_eq!(found, half, "{filter:?}");
            // Five steps an event, or six.
            assert!(steps < 10 * DEAD, "{steps} steps for {DEAD} events: {filter:?}");
        }
    }
}
