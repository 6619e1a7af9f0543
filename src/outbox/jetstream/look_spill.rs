//! Questions of people about the events that wait in the spill of this copy.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::JetStream;
use super::api::ApiError;
use super::look::{SPILL, Selected, add_content, item};
use super::record::{Record, token};
use super::spill::FILE;
use super::spill_file::{self, SpillRow};
use crate::outbox::sqlite::{Clock, Filter, Item, State};

/// Number of events that are read at once.
const PAGE: usize = 2_000;

impl JetStream {
    /// Reads events with higher numbers than `after`, in order; none if there are no more.
    async fn spilled_page(&self, after: u64) -> Result<Vec<SpillRow>, ApiError> {
        let spill = &self.publisher.spill;
        let rows = match spill.path.clone() {
            Some(path) => read(move || spill_file::rows(&path, after, PAGE)).await?,
            None => Vec::new(),
        };
        let end = rows.last().filter(|_| rows.len() >= PAGE).map_or(u64::MAX, |last| last.number);
        let mut all: BTreeMap<u64, SpillRow> = rows.into_iter().map(|row| (row.number, row)).collect();
        for row in spill.unwritten(after).into_iter().filter(|row| row.number <= end) {
            all.insert(row.number, row);
        }
        Ok(all.into_values().collect())
    }

    /// Lists the events that a filter selects, from its place on, `most` at most.
    pub(super) async fn list_spilled(&self, filter: &Filter, most: usize) -> Result<Vec<Item>, ApiError> {
        let after = filter.after.map_or(0, |after| after.saturating_sub(SPILL).max(0));
        let (mut after, mut items) = (u64::try_from(after).unwrap_or(0), Vec::new());
        while items.len() < most {
            let page = self.spilled_page(after).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            let clock = &self.publisher.clock;
            let found = page.iter().filter_map(|row| item(clock, &read_row(clock, row, Bytes::new()), SPILL));
            items.extend(found.filter(|item| is_selected(item, filter)));
        }
        items.truncate(most);
        Ok(items)
    }

    /// Finds the event with an ID.
    pub(super) async fn find_spilled(&self, id: &str) -> Result<Option<SpillRow>, ApiError> {
        let (end, mut after) = (format!(".{}", token(id)), 0);
        loop {
            let page = self.spilled_page(after).await?;
            let Some(last) = page.last() else { return Ok(None) };
            after = last.number;
            if let Some(row) = page.into_iter().find(|row| row.subject.ends_with(&end)) {
                return Ok(Some(row));
            }
        }
    }

    /// Reads an event with its message.
    pub(super) async fn spilled(&self, row: &SpillRow) -> Result<Selected, ApiError> {
        let (spill, number) = (&self.publisher.spill, row.number);
        let payload = match (spill.payload(number), spill.path.clone()) {
            (Some(payload), _) => payload,
            (None, Some(path)) => read(move || spill_file::payload(&path, number)).await?.into(),
            (None, None) => Bytes::new(),
        };
        Ok(read_row(&self.publisher.clock, row, payload))
    }
}

fn read_row(clock: &Clock, row: &SpillRow, payload: Bytes) -> Selected {
    let SpillRow { number, subject, header, bytes, .. } = row;
    let record = Record::read(header, payload, 0, clock);
    Selected { sequence: *number, subject: subject.clone(), record, bytes: *bytes }
}

/// Lists the events of the spill in a directory that no hookgate serves from, `most` at most.
pub(in crate::outbox) fn list_offline(
    directory: &Path,
    clock: &Clock,
    filter: &Filter,
    most: usize,
) -> rusqlite::Result<Vec<Item>> {
    let rows = rows_offline(directory, filter.after)?;
    let items = rows.iter().filter_map(|row| item(clock, &read_row(clock, row, Bytes::new()), SPILL));
    Ok(items.filter(|item| is_selected(item, filter)).take(most).collect())
}

/// Returns the event with an ID, with its content.
pub(in crate::outbox) fn show_offline(
    directory: &Path,
    clock: &Clock,
    id: &str,
    reveal: bool,
) -> rusqlite::Result<Option<Item>> {
    let Some(row) = find_offline(directory, id)? else { return Ok(None) };
    let payload = spill_file::payload(&directory.join(FILE), row.number)?;
    let selected = read_row(clock, &row, payload.into());
    let Some(mut item) = item(clock, &selected, SPILL) else { return Ok(None) };
    add_content(&mut item, &selected, reveal);
    Ok(Some(item))
}

/// Drops the event with an ID. Returns false if it is not there.
pub(in crate::outbox) fn drop_offline(directory: &Path, id: &str) -> rusqlite::Result<bool> {
    let Some(row) = find_offline(directory, id)? else { return Ok(false) };
    spill_file::remove(&directory.join(FILE), row.number).map(|()| true)
}

/// Returns true if the spill has the event with an ID.
pub(in crate::outbox) fn has_offline(directory: &Path, id: &str) -> rusqlite::Result<bool> {
    find_offline(directory, id).map(|row| row.is_some())
}

fn find_offline(directory: &Path, id: &str) -> rusqlite::Result<Option<SpillRow>> {
    let end = format!(".{}", token(id));
    Ok(rows_offline(directory, None)?.into_iter().find(|row| row.subject.ends_with(&end)))
}

fn rows_offline(directory: &Path, after: Option<i64>) -> rusqlite::Result<Vec<SpillRow>> {
    let path = directory.join(FILE);
    let after = after.map_or(0, |after| u64::try_from(after.saturating_sub(SPILL).max(0)).unwrap_or(0));
    if path.exists() { spill_file::rows(&path, after, usize::MAX) } else { Ok(Vec::new()) }
}

/// Returns true if a filter selects an event, its place apart.
fn is_selected(item: &Item, filter: &Filter) -> bool {
    let Filter { id, rpc, reason, since, state, .. } = filter;
    let time = if item.state == State::Dead { item.died.unwrap_or(item.arrived) } else { item.arrived };
    id.as_ref().is_none_or(|id| *id == item.id)
        && rpc.as_ref().is_none_or(|rpc| *rpc == item.rpc)
        && reason.as_ref().is_none_or(|reason| item.reason.as_ref() == Some(reason))
        && since.is_none_or(|since| time >= since)
        && state.is_none_or(|state| state == item.state)
}

/// Reads the file on another thread.
async fn read<T: Send + 'static>(from: impl FnOnce() -> rusqlite::Result<T> + Send + 'static) -> Result<T, ApiError> {
    let read = spawn_blocking(from).await.map_err(|error| ApiError::Other(error.to_string()))?;
    read.map_err(|error| ApiError::Other(format!("the spill cannot be read: {error}")))
}
