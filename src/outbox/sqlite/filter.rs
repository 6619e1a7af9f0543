//! The selection of events by those who look at them.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};

use super::rows::known_number;

/// A selection of events; a condition that is not given selects all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The one with this ID.
    pub id: Option<String>,
    /// The rpc's path, to select its events.
    pub rpc: Option<String>,
    /// The reason, to select the events that ended for it.
    pub reason: Option<String>,
    /// The earliest time at which an event ended or, if it waits, arrived: milliseconds since 1970.
    pub since: Option<i64>,
    /// The state of the events.
    pub state: Option<State>,
    /// True to select all events, where there is no other condition.
    pub all: bool,
    /// The place at which an earlier answer ended, to select what is behind it.
    pub after: Option<i64>,
    /// The maximum number; no more than a thousand at a time.
    pub limit: Option<usize>,
}

/// The state of an event: it waits, or it is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for the delivery, or in flight.
    Waiting,
    /// Ended undelivered, and kept for whoever looks for it.
    Dead,
}

/// Maximum number of events that are listed, replayed or dropped at a time: so many fit into memory, and nobody else writes while they change.
const AT_A_TIME: usize = 1_000;

impl Filter {
    /// Returns the maximum number of events of one list.
    pub(in crate::outbox) fn most_listed(&self) -> usize {
        self.limit.unwrap_or(100).min(AT_A_TIME)
    }

    /// Returns the maximum number of events of one change.
    pub(in crate::outbox) fn most_changed(&self) -> usize {
        self.limit.unwrap_or(AT_A_TIME).min(AT_A_TIME)
    }
}

/// The places of those that ended and are meant, some at a time, in the order of their arrival.
pub(in crate::outbox) fn selected(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<i64>> {
    if !states(filter).any(|state| state == State::Dead) {
        return Ok(Vec::new());
    }
    let (query, values) = selected_query(connection, filter)?;
    connection.prepare(&query)?.query_map(params_from_iter(values), |row| row.get(0))?.collect()
}

fn selected_query(connection: &Connection, filter: &Filter) -> rusqlite::Result<(String, Vec<Sql>)> {
    let (conditions, mut values) = conditions(connection, filter, State::Dead)?;
    values.push(Sql::from(i64::try_from(filter.most_changed()).unwrap_or(i64::MAX)));
    Ok((format!("select id from dead {} where {conditions} order by id limit ?", by_place(filter)), values))
}

/// Returns the hint for a query that goes on from a place: through the table from there. An index would lead to everything
/// that is selected each time.
pub(super) fn by_place(filter: &Filter) -> &'static str {
    if filter.after.is_some() && filter.id.is_none() { "not indexed" } else { "" }
}

/// Returns the states of the events that may be selected.
pub(in crate::outbox) fn states(filter: &Filter) -> impl Iterator<Item = State> {
    let (state, ended) = (filter.state, filter.reason.is_some());
    [State::Waiting, State::Dead]
        .into_iter()
        .filter(move |one| state.is_none_or(|state| state == *one) && !(ended && *one == State::Waiting))
}

pub(super) fn table(state: State) -> &'static str {
    match state {
        State::Waiting => "events",
        State::Dead => "dead",
    }
}

pub(super) fn conditions(
    connection: &Connection,
    filter: &Filter,
    state: State,
) -> rusqlite::Result<(String, Vec<Sql>)> {
    let (mut conditions, mut values) = (vec!["true"], Vec::new());
    if let Some(id) = &filter.id {
        conditions.push("event_id = ?");
        values.push(Sql::from(id.clone()));
    }
    if let Some(rpc) = &filter.rpc {
        conditions.push("rpc = ?");
        // An rpc that has never had an event has no number.
        values.push(Sql::from(known_number(connection, rpc)?.unwrap_or(-1)));
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
        conditions.push(if state == State::Dead { "dead.id > ?" } else { "events.id > ?" });
        values.push(Sql::from(after));
    }
    Ok((conditions.join(" and "), values))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

    use rusqlite::StatementStatus;

    use super::*;
    use crate::outbox::sqlite::{act, tables};

    const DEAD: i64 = 60_000;

    /// Returns a file with many events, of which half ended for their age, and half are of one rpc.
    fn filled() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        tables::create(&connection).unwrap();
        let fill = format!(
            "insert into names (name) values ('/openim.one'), ('/openim.other');
             insert into dead
             select value, 'e' || value, 1, 1 + value % 2, null, null, value, 1, null, 1, 1, 0, value,
                    iif(value % 2, 'age', 'attempts'), null, '{{}}', zeroblob(100)
             from (with recursive n(value) as (select 1 union all select value + 1 from n where value < {DEAD}) select value from n)"
        );
        connection.execute_batch(&fill).unwrap();
        connection
    }

    /// Drops what is meant as `hookgate outbox` does; gives how many, and the steps that it took to find them.
    fn dropped(connection: &Connection, mut filter: Filter) -> (usize, i64) {
        let (mut dropped, mut steps) = (0, 0);
        loop {
            let (query, values) = selected_query(connection, &filter).unwrap();
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
