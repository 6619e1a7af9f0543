//! `hookgate callbacks`: lists the callbacks.

use std::io::{self, Write};

use serde_json::{Value, json};
use tabwriter::TabWriter;

use super::{Error, print_json};
use crate::config::nearest;
use crate::contract::Callback;

/// Returns the callback with this key, command or rpc.
pub(super) fn callback_named(name: &str) -> Result<&'static Callback, Error> {
    Callback::by_name(name).ok_or_else(|| {
        let known = Callback::all().iter().flat_map(|row| [row.config_key, row.command, row.method()]);
        let nearest = nearest(name, known).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        Error::Usage(format!("no callback is named {name:?}{nearest} (hookgate callbacks lists them)"))
    })
}

/// Options of `hookgate callbacks`.
#[derive(Debug, clap::Args)]
pub(super) struct Callbacks {
    /// Print a JSON array of objects
    #[arg(long)]
    json: bool,
}

impl Callbacks {
    /// Prints the callbacks.
    pub(super) fn run(self) -> io::Result<()> {
        if self.json {
            return print_json(&Callback::all().iter().map(json_of).collect::<Vec<_>>());
        }
        let mut table = TabWriter::new(io::stdout().lock());
        writeln!(table, "COMMAND\tTIMING\tRPC\tCHANGES")?;
        for callback in Callback::all() {
            let (command, timing, rpc) = (callback.command, callback.timing.as_str(), callback.service_and_method());
            let changes: Vec<_> = callback.changes().collect();
            let changes = if changes.is_empty() { "-".to_owned() } else { changes.join(", ") };
            writeln!(table, "{command}\t{timing}\t{rpc}\t{changes}")?;
        }
        table.flush()
    }
}

fn json_of(callback: &Callback) -> Value {
    json!({
        "command": callback.command,
        "older_commands": callback.older_commands,
        "config_key": callback.config_key,
        "timing": callback.timing.as_str(),
        "rpc": callback.rpc,
        "releases": callback.releases,
        "changes": callback.changes().collect::<Vec<_>>(),
    })
}
