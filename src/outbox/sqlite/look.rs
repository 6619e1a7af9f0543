//! Questions that people ask of the events on disk.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::filter::{Filter, State, by_place, conditions, states, table};
use super::rows;
use crate::contract::Callback;
use crate::contract::metadata;
use crate::contract::{self, DecodedMessage};
use crate::observe::failures::LastFailure;

/// An event on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its place in the order of arrival, behind which the next ones are.
    pub place: i64,
    /// Its `hookgate-event-id`.
    pub id: String,
    /// Its state.
    pub state: State,
    /// Its receiver: `policy`.
    pub target: String,
    /// The rpc's path.
    pub rpc: String,
    /// The key of its order.
    pub key: Option<String>,
    /// Its arrival, in milliseconds since 1970.
    pub arrived: i64,
    /// Attempts that have ended.
    pub attempts: u32,
    /// Its size, about.
    pub bytes: i64,
    /// The time of its next attempt, in milliseconds since 1970; none before its first attempt.
    pub due: Option<i64>,
    /// The time at which it ended, in milliseconds since 1970.
    pub died: Option<i64>,
    /// The reason for which it ended.
    pub reason: Option<String>,
    /// The class of the last failure, where it ended by one.
    pub class: Option<String>,
    /// True if the events behind it do not wait for it.
    #[serde(default)]
    pub parked: bool,
    /// The metadata beside the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// The message, as far as it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
}

/// The number of events of an rpc in a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Their receiver: `policy`.
    pub target: String,
    /// The rpc's path.
    pub rpc: String,
    /// Their state.
    pub state: State,
    /// The reason for which they ended.
    pub reason: Option<String>,
    /// Their number.
    pub events: i64,
    /// Their bytes, about.
    pub bytes: i64,
    /// The arrival of the oldest one, in milliseconds since 1970.
    pub oldest: i64,
}

/// A replay, by which its events are found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Its number: microseconds since 1970.
    pub run: i64,
    /// The attempts before it, if it did not reset them.
    #[serde(default)]
    pub tried: u32,
}

/// The events of an rpc that a replay has not delivered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Undelivered {
    /// The rpc's path.
    pub rpc: String,
    /// Waiting events without a failed attempt since the replay.
    pub untried: i64,
    /// Waiting events with one.
    pub failed: i64,
    /// Dead letters, by reason.
    pub dead: BTreeMap<String, i64>,
    /// The last failure of the rpc.
    pub last_failure: Option<LastFailure>,
}

/// Counts the events of a replay that are still there, by rpc.
pub(crate) fn undelivered(connection: &Connection, replay: Replay) -> rusqlite::Result<Vec<Undelivered>> {
    let Replay { run, tried } = replay;
    let mut found: BTreeMap<i64, Undelivered> = BTreeMap::new();
    for query in [
        "select rpc, iif(attempts > max(spared, ?2), 'failed', 'untried'), count(*) from events
         where replay = ?1 group by 1, 2",
        "select rpc, reason, count(*) from dead where replay = ?1 and ?2 >= 0 group by 1, 2",
    ] {
        let is_dead = query.contains("from dead");
        let mut query = connection.prepare(query)?;
        let mut rows = query.query(params![run, tried])?;
        while let Some(row) = rows.next()? {
            let (rpc, state, events): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let of = found.entry(rpc).or_default();
            match &*state {
                _ if is_dead => *of.dead.entry(state).or_default() += events,
                "failed" => of.failed += events,
                _ => of.untried += events,
            }
        }
    }
    found.into_iter().map(|(rpc, of)| Ok(Undelivered { rpc: name(connection, rpc)?, ..of })).collect()
}

/// Counts the events by rpc, state and reason.
pub(crate) fn counts(connection: &Connection) -> rusqlite::Result<Vec<Count>> {
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
            let first = format!("select target, arrived from {table} where id = ?");
            let (target, oldest) =
                connection.query_row(&first, [row.get::<_, i64>(4)?], |row| Ok((row.get(0)?, row.get(1)?)))?;
            counts.push(Count {
                target: name(connection, target)?,
                rpc: name(connection, row.get(0)?)?,
                state,
                reason: row.get(1)?,
                events: row.get(2)?,
                bytes: row.get(3)?,
                oldest,
            });
        }
    }
    counts.sort_by(|one, other| one.rpc.cmp(&other.rpc));
    Ok(counts)
}

/// The events that are meant, some at a time, without their content: those that wait first, in the order of their arrival.
pub(crate) fn list(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Item>> {
    let mut items = Vec::new();
    for state in states(filter) {
        let (conditions, mut values) = conditions(connection, filter, state)?;
        let limit = filter.most_listed().saturating_sub(items.len());
        values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let mut query = connection.prepare(&format!(
            "select {} from {} {} where {conditions} order by id limit ?",
            columns(state),
            table(state),
            by_place(filter)
        ))?;
        let mut rows = query.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            items.push(item(connection, row, state)?);
        }
    }
    Ok(items)
}

/// Counts the events that are selected.
pub(crate) fn count(connection: &Connection, filter: &Filter) -> rusqlite::Result<i64> {
    let mut total = 0;
    for state in states(filter) {
        let (conditions, values) = conditions(connection, filter, state)?;
        let query = format!("select count(*) from {} where {conditions}", table(state));
        total += connection.query_row(&query, params_from_iter(values), |row| row.get::<_, i64>(0))?;
    }
    Ok(total)
}

/// Returns an event with its content; without what belongs in no log, unless it is to be revealed.
pub(crate) fn show(connection: &Connection, id: &str, reveal: bool) -> rusqlite::Result<Option<Item>> {
    for state in [State::Waiting, State::Dead] {
        let query =
            format!("select {}, metadata, message, sum from {} where event_id = ?", columns(state), table(state));
        let found = connection
            .query_row(&query, [id], |row| {
                let mut item = item(connection, row, state)?;
                let (metadata, message): (String, Vec<u8>) = (row.get(13)?, row.get(14)?);
                if row.get::<_, u32>(15)? == rows::sum(&metadata, &message) {
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

pub(in crate::outbox) fn content(callback: &Callback, message: &[u8], reveal: bool) -> Option<Value> {
    let record = DecodedMessage::decode(callback.request, message).ok()?;
    let mut json = Vec::new();
    match reveal {
        true => contract::write_whole(&record, &mut json),
        false => contract::write_redacted(&record, &mut json),
    }
    serde_json::from_slice(&json).ok()
}

fn columns(state: State) -> &'static str {
    match state {
        State::Waiting => "event_id, rpc, key, arrived, attempts, bytes, due, null, null, null, id, parked, target",
        State::Dead => "event_id, rpc, key, arrived, attempts, bytes, null, died, reason, class, id, 0, target",
    }
}

fn item(connection: &Connection, row: &Row<'_>, state: State) -> rusqlite::Result<Item> {
    Ok(Item {
        place: row.get(10)?,
        id: row.get(0)?,
        state,
        target: name(connection, row.get(12)?)?,
        rpc: name(connection, row.get(1)?)?,
        key: row.get(2)?,
        arrived: row.get(3)?,
        attempts: row.get(4)?,
        bytes: row.get(5)?,
        due: row.get(6)?,
        died: row.get(7)?,
        reason: row.get(8)?,
        class: row.get(9)?,
        parked: row.get(11)?,
        metadata: None,
        message: None,
    })
}

/// The name with this number, such as an rpc's path.
pub(super) fn name(connection: &Connection, number: i64) -> rusqlite::Result<String> {
    connection.prepare_cached("select name from names where id = ?")?.query_row([number], |row| row.get(0))
}
