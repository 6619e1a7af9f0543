//! `hookgate callbacks`: the table.

use std::io::{self, Write};

use serde::Serialize;

use super::Error;
use crate::config::nearest;
use crate::contract::Callback;

/// The callback that somebody names.
pub fn callback_named(name: &str) -> Result<&'static Callback, Error> {
    Callback::by_name(name).ok_or_else(|| {
        let known = Callback::all().iter().flat_map(|row| [row.config_key, row.command, row.method()]);
        let nearest = nearest(name, known).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        Error::Usage(format!("no callback is named {name:?}{nearest} (hookgate callbacks lists them)"))
    })
}

/// Options of `hookgate callbacks`.
#[derive(Debug, clap::Args)]
pub struct Callbacks {
    /// Print a JSON array of objects, for programs
    #[arg(long)]
    json: bool,
}

/// A row as programs read it.
#[derive(Serialize)]
struct Row {
    command: &'static str,
    older_commands: &'static [&'static str],
    config_key: &'static str,
    timing: &'static str,
    rpc: &'static str,
    #[serde(skip)]
    short_rpc: &'static str,
    releases: &'static [&'static str],
    changes: Vec<&'static str>,
}

impl From<&'static Callback> for Row {
    fn from(callback: &'static Callback) -> Self {
        Self {
            command: callback.command,
            older_commands: callback.older_commands,
            config_key: callback.config_key,
            timing: callback.timing.as_str(),
            rpc: callback.rpc,
            short_rpc: callback.service_and_method(),
            releases: callback.releases,
            changes: callback.changes().collect(),
        }
    }
}

impl Callbacks {
    /// Prints the table.
    pub fn run(self) -> io::Result<()> {
        let rows: Vec<Row> = Callback::all().iter().map(Row::from).collect();
        let mut out = io::stdout().lock();
        if !self.json {
            return print(&rows, &mut out);
        }
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)
    }
}

fn print(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let (command, rpc) = (width(|row| row.command.len()), width(|row| row.short_rpc.len()));
    writeln!(out, "{:command$}  {:6}  {:rpc$}  CHANGES", "COMMAND", "TIMING", "RPC")?;
    for row in rows {
        let changes = if row.changes.is_empty() { "-".to_owned() } else { row.changes.join(", ") };
        writeln!(out, "{:command$}  {:6}  {:rpc$}  {changes}", row.command, row.timing, row.short_rpc)?;
    }
    Ok(())
}
