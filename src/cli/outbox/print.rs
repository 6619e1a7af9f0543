//! What is found, for people and for programs.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytesize::ByteSize;
use serde::Serialize;

use crate::outbox::{Count, Item, State};

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

/// Events, a line each for people, as they come.
pub(super) struct Items<'a, W> {
    json: bool,
    out: &'a mut W,
    any: bool,
    widths: [usize; 6],
}

impl<'a, W: Write> Items<'a, W> {
    pub(super) fn new(json: bool, out: &'a mut W) -> Self {
        Self { json, out, any: false, widths: [0; 6] }
    }

    /// Prints some more of them.
    pub(super) fn print(&mut self, items: &[Item]) -> io::Result<()> {
        let is_first = !std::mem::replace(&mut self.any, true);
        if self.json {
            for (place, item) in items.iter().enumerate() {
                self.out.write_all(if is_first && place == 0 { b"[\n" } else { b",\n" })?;
                serde_json::to_writer_pretty(&mut *self.out, item)?;
            }
            return Ok(());
        }
        let heads = ["ID", "STATE", "AGE", "ATTEMPTS", "RPC", "BELONGS TO"].map(str::to_owned);
        let mut rows: Vec<_> = items.iter().map(row).collect();
        if is_first {
            rows.insert(0, heads);
        }
        lines(&rows, &mut self.widths, self.out)
    }

    /// There are no more.
    pub(super) fn end(self) -> io::Result<()> {
        match (self.json, self.any) {
            (true, true) => writeln!(self.out, "\n]"),
            (true, false) => writeln!(self.out, "[]"),
            (false, true) => Ok(()),
            (false, false) => writeln!(self.out, "no such events"),
        }
    }
}

fn row(item: &Item) -> [String; 6] {
    let state = state(item.state, item.reason.as_deref());
    let key = item.key.as_deref().map_or_else(|| "-".to_owned(), |key| key.escape_debug().to_string());
    [item.id.clone(), state, age(item.arrived), item.attempts.to_string(), short(&item.rpc).to_owned(), key]
}

fn table<const N: usize>(heads: [&str; N], mut rows: Vec<[String; N]>, out: &mut impl Write) -> io::Result<()> {
    rows.insert(0, heads.map(str::to_owned));
    lines(&rows, &mut [0; N], out)
}

/// Lines in columns that become no narrower.
fn lines<const N: usize>(rows: &[[String; N]], widths: &mut [usize; N], out: &mut impl Write) -> io::Result<()> {
    for (column, cell) in rows.iter().flat_map(|row| (0..N).zip(row)) {
        widths[column] = widths[column].max(cell.chars().count());
    }
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&*widths).map(|(cell, width)| format!("{cell:width$}")).collect();
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
