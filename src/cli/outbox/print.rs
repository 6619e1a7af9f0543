//! What is found, for people and for programs.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytesize::ByteSize;
use serde::Serialize;

use crate::events::{Count, Item, State};

pub(super) fn json(what: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, what)?;
    writeln!(out)
}

/// How many there are: a line for each rpc, state and reason.
pub(super) fn counts(counts: &[Count], out: &mut impl Write) -> io::Result<()> {
    let rows = counts.iter().map(|count| {
        let state = state(count.state, count.reason.as_deref());
        let bytes = ByteSize::b(u64::try_from(count.bytes).unwrap_or_default()).to_string();
        [short(&count.rpc).to_owned(), state, count.events.to_string(), bytes, age(count.oldest)]
    });
    if counts.is_empty() {
        return writeln!(out, "no events");
    }
    table(["RPC", "STATE", "EVENTS", "BYTES", "OLDEST"], rows.collect(), out)
}

/// Events, a line each.
pub(super) fn items(items: &[Item], out: &mut impl Write) -> io::Result<()> {
    let rows = items.iter().map(|item| {
        let state = state(item.state, item.reason.as_deref());
        let key = item.key.as_deref().map_or_else(|| "-".to_owned(), |key| key.escape_debug().to_string());
        [item.id.clone(), state, age(item.arrived), item.attempts.to_string(), short(&item.rpc).to_owned(), key]
    });
    if items.is_empty() {
        return writeln!(out, "no such events");
    }
    table(["ID", "STATE", "AGE", "ATTEMPTS", "RPC", "BELONGS TO"], rows.collect(), out)
}

fn table<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>, out: &mut impl Write) -> io::Result<()> {
    let heads = heads.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&heads]).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    for row in [&heads].into_iter().chain(&rows) {
        let cells: Vec<String> =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column))).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn state(state: State, reason: Option<&str>) -> String {
    match (state, reason) {
        (State::Waiting, _) => "waiting".to_owned(),
        (State::Dead, reason) => format!("dead: {}", reason.unwrap_or("unknown")),
    }
}

fn short(rpc: &str) -> &str {
    rpc.rsplit_once('.').map_or(rpc, |(_, short)| short)
}

/// How long ago a point in time is, in seconds.
fn age(milliseconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default());
    humantime::format_duration(Duration::from_secs(now.saturating_sub(then).as_secs())).to_string()
}
