//! `hookgate callbacks`: lists the callbacks, or shows one of them in full.

mod details;

use std::io::{self, Write};

use serde_json::{Value, json};
use tabwriter::TabWriter;

use super::{Error, examples, print_json};
use crate::config::{Config, Options, nearest};
use crate::contract::comments::Comments;
use crate::contract::{Callback, Timing};
use crate::text::{columns, count};

/// Columns that are kept for the changes, at least.
const CHANGES: usize = 20;

/// Returns the callback with this key, command or rpc.
pub(super) fn callback_named(name: &str) -> Result<&'static Callback, Error> {
    Callback::by_name(name).ok_or_else(|| {
        let known = Callback::all().iter().flat_map(|row| [row.config_key, row.command, row.method()]);
        let nearest = nearest(name, known).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        Error::Usage(format!("no callback is named {name:?}{nearest} (hookgate callbacks lists them)"))
    })
}

/// Returns the key of a callback for examples: the shortest of a Before callback.
pub(super) fn example() -> &'static str {
    let before = Callback::all().iter().filter(|callback| callback.timing == Timing::Before);
    before.map(|callback| callback.config_key).min_by_key(|key| key.len()).unwrap_or_default()
}

/// Options of `hookgate callbacks`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["hookgate callbacks", "hookgate callbacks CALLBACK", "hookgate callbacks group --timing before", "hookgate callbacks --config hookgate.yaml"]))]
pub(super) struct Callbacks {
    /// Callback to show in full: its key in OpenIM's webhooks.yml, its command or its rpc. A part of such a name lists
    /// those that have it
    name: Option<String>,

    /// List those alone that OpenIM sends before an operation, or after it
    #[arg(long, value_parser = ["before", "after"])]
    timing: Option<String>,

    /// Show who is asked about them: the policies of their routes, by the file that hookgate serves with
    #[arg(long, value_name = "FILE")]
    config: Option<String>,

    /// Print a JSON array of objects
    #[arg(long)]
    json: bool,
}

impl Callbacks {
    /// Prints the callbacks.
    pub(super) fn run(self) -> Result<(), Error> {
        let config = self.config.as_deref().map(load).transpose()?;
        let has_timing = |callback: &&Callback| self.timing.as_ref().is_none_or(|it| it == callback.timing.as_str());
        let mut rows: Vec<_> = Callback::all().iter().filter(has_timing).collect();
        let mut is_named = false;
        if let Some(name) = &self.name {
            is_named = rows.iter().any(|callback| callback.names().any(|known| known == name));
            let part = name.to_lowercase();
            let is_meant = |known: &str| if is_named { known == name } else { known.to_lowercase().contains(&part) };
            rows.retain(|callback| callback.names().any(is_meant));
            if rows.is_empty() {
                let timing = callback_named(name)?.timing.as_str();
                return Err(Error::Usage(format!("--timing: {name} is sent {timing} its operation")));
            }
        }
        // anstream strips colour where there is no terminal, and with NO_COLOR.
        let mut out = anstream::stdout().lock();
        if self.json {
            print_json(&rows.into_iter().map(|row| json_of(row, config.as_ref())).collect::<Vec<_>>())?;
        } else if is_named {
            let comments = Comments::read();
            for (index, callback) in rows.into_iter().enumerate() {
                // A few have one key.
                if index > 0 {
                    writeln!(out)?;
                }
                details::print(callback, config.as_ref(), &comments, &mut out)?;
            }
        } else if let Some(config) = &config {
            list_asked(&rows, config, &mut out)?;
        } else {
            list(&rows, columns(), &mut out)?;
        }
        Ok(())
    }
}

/// Reads the configuration that hookgate would serve with.
fn load(file: &str) -> Result<Config, Error> {
    let options = Options::of_file(file).map_err(|error| Error::Usage(error.to_string()))?;
    Ok(Config::load(&options)?.config)
}

/// Prints a line for each callback, with the policies that are asked about it.
fn list_asked(rows: &[&Callback], config: &Config, out: &mut impl Write) -> io::Result<()> {
    let mut table = TabWriter::new(out);
    writeln!(table, "KEY\tTIMING\tASKED")?;
    for row in rows {
        // Two callbacks have one key, and a route can name one of them by its command.
        let is_shared = Callback::all().iter().filter(|other| other.config_key == row.config_key).count() > 1;
        let command = if is_shared { format!(" ({})", row.command) } else { String::new() };
        writeln!(table, "{}{command}\t{}\t{}", row.config_key, row.timing.as_str(), asked(row, config))?;
    }
    table.flush()
}

/// Returns the policies that are asked about a callback, in words.
fn asked(callback: &Callback, config: &Config) -> String {
    let asked: Vec<_> = config.asked_about(callback).iter().map(ToString::to_string).collect();
    asked.join("; else ")
}

/// Prints a line for each callback, with as many columns as fit in `width`; all without one.
fn list(rows: &[&Callback], width: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    let cells = |callback: &Callback| {
        [callback.config_key, callback.timing.as_str(), callback.command, callback.service_and_method()]
    };
    let heads = ["KEY", "TIMING", "COMMAND", "RPC"];
    let width_of = |column: usize| {
        let longest = rows.iter().map(|row| cells(row)[column].len()).max().unwrap_or_default();
        longest.max(heads[column].len()) + 2
    };
    let fits =
        |columns: &usize| width.is_none_or(|width| (0..*columns).map(width_of).sum::<usize>() + CHANGES <= width);
    let columns = (2..=heads.len()).rev().find(fits).unwrap_or(2);
    let rest = width.map(|width| width.saturating_sub((0..columns).map(width_of).sum()));
    let mut table = TabWriter::new(out);
    writeln!(table, "{}\tCHANGES", heads[..columns].join("\t"))?;
    for row in rows {
        writeln!(table, "{}\t{}", cells(row)[..columns].join("\t"), changes(row, rest))?;
    }
    table.flush()
}

/// Returns the fields that an allow can change, as many of them as fit in `width`.
fn changes(callback: &Callback, width: Option<usize>) -> String {
    let names: Vec<_> = callback.changes().collect();
    let shown = |some: usize| match names.len() - some {
        0 => names.join(", "),
        more => format!("{}, {more} more", names[..some].join(", ")),
    };
    let mut shorter = (1..=names.len()).rev().map(shown);
    match shorter.find(|shown| width.is_none_or(|width| shown.len() <= width)) {
        Some(shown) => shown,
        None if names.is_empty() => "-".to_owned(),
        None => count(names.len(), "field"),
    }
}

fn json_of(callback: &Callback, config: Option<&Config>) -> Value {
    let mut row = json!({
        "command": callback.command,
        "older_commands": callback.older_commands,
        "config_key": callback.config_key,
        "timing": callback.timing.as_str(),
        "rpc": callback.rpc,
        "ordered_by": callback.ordering_fields().collect::<Vec<_>>(),
        "order_domain": callback.ordered_with().next().map(|_| callback.order_domain),
        "releases": callback.releases,
        "changes": callback.changes().collect::<Vec<_>>(),
    });
    if let Some(config) = config {
        row["asked"] = json!(config.asked_about(callback));
    }
    row
}
