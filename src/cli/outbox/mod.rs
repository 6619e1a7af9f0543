//! `hookgate outbox`: lists, replays and drops the After events that are kept on disk or on a cluster.

mod backend;
mod change;
mod print;
mod replay;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use serde::ser::{SerializeSeq as _, Serializer as _};
use serde_json::json;

use super::admin::Admin;
use super::callbacks::callback_named;
use super::{Error, block_on, examples, print_json};
use crate::outbox::{Count, Filter, Item, Offline, State, TARGET};
use crate::text::{columns, count};
use backend::Backend;
use change::{Done, Verb};

/// Reasons of dead letters, as they are stored: `full` on a cluster alone. Events that end for another reason were never
/// written, or wait for the next start.
const REASONS: [&str; 7] = ["unimplemented", "invalid_reply", "refused_size", "attempts", "age", "full", "unreadable"];

/// Options of `hookgate outbox`.
#[derive(Debug, Args)]
#[command(after_help = examples(&["hookgate outbox", "hookgate outbox list --dead", "hookgate outbox --policy words", "hookgate outbox --data /var/lib/hookgate"]))]
pub(super) struct Outbox {
    #[command(subcommand)]
    command: Option<Command>,

    /// Directory of the outboxes (data of serve), while no hookgate serves from it
    #[arg(
        id = "outbox_data",
        long = "data",
        value_name = "DIR",
        global = true,
        conflicts_with = "admin",
        display_order = 100
    )]
    data: Option<PathBuf>,

    #[command(flatten)]
    admin: Admin,

    /// Only the events of this policy, of several: its name in the configuration. Left out: those of all
    #[arg(id = "outbox_policy", long = "policy", value_name = "NAME", global = true, display_order = 102)]
    policy: Option<String>,

    /// Print JSON
    #[arg(long, global = true, display_order = 103)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List events without their content: waiting ones first, oldest first
    #[command(after_help = examples(&["hookgate outbox list", "hookgate outbox list --dead --reason unimplemented --since 2h"]))]
    List {
        #[command(flatten)]
        which: Which,
        /// Only waiting events
        #[arg(long, conflicts_with_all = ["dead", "reason"])]
        waiting: bool,
        /// Only dead letters: events that ended undelivered
        #[arg(long)]
        dead: bool,
        /// Maximum number of events; 0 for all
        #[arg(long, value_name = "N", default_value = "100")]
        limit: usize,
    },
    /// Show an event, as JSON
    #[command(after_help = examples(&["hookgate outbox show 01928f3c-5d3a-7c11-8f0e-3a1b2c4d5e6f"]))]
    Show {
        /// The hookgate-event-id
        id: String,
        /// Print content and secrets too
        #[arg(long)]
        reveal: bool,
    },
    /// Deliver dead letters again, at once and outside of the order of their keys; by ID also an event that waits
    #[command(after_help = examples(&["hookgate outbox replay --all", "hookgate outbox replay --reason unimplemented"]))]
    Replay {
        #[command(flatten)]
        change: Change,
        /// Maximum time to wait for what becomes of the events, as in 30s or 0s
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
        wait: Duration,
    },
    /// Delete dead letters; by ID also a waiting event
    #[command(after_help = examples(&["hookgate outbox drop --all", "hookgate outbox drop --reason age --data /var/lib/hookgate"]))]
    Drop(Change),
}

/// A selection of events to change.
#[derive(Debug, Args)]
struct Change {
    #[command(flatten)]
    which: Which,
    /// All dead letters
    #[arg(long)]
    all: bool,
}

/// A selection of events.
#[derive(Debug, Args)]
struct Which {
    /// The event with this hookgate-event-id
    id: Option<String>,

    /// Events of this callback: its rpc, its command or its key in OpenIM's webhooks.yml
    #[arg(long, value_name = "CALLBACK")]
    rpc: Option<String>,

    /// Dead letters of this reason
    #[arg(long, value_parser = REASONS)]
    reason: Option<String>,

    /// Events that ended since this time, or arrived if they wait: an age as in 2h, or as in 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
}

impl Which {
    fn filter(self) -> Result<Filter, Error> {
        let Self { id, rpc, reason, since } = self;
        let rpc = rpc.map(|rpc| callback_named(&rpc)).transpose()?.map(|callback| callback.rpc.to_owned());
        Ok(Filter { id, rpc, reason, since, ..Filter::default() })
    }
}

impl Outbox {
    /// Runs the subcommand.
    pub(super) fn run(self) -> Result<(), Error> {
        block_on(self.dispatch())?
    }

    async fn dispatch(self) -> Result<(), Error> {
        let Self { command, data, admin, policy, json } = self;
        let mut outboxes = Backend::open(data, admin, policy.as_deref()).await?;
        match command {
            None => {
                let mut counts = Vec::new();
                for outbox in &mut outboxes {
                    let of_outbox: Vec<Count> = outbox.ask("", None, |outbox| outbox.counted()).await?;
                    counts.extend(of_outbox);
                }
                let policies = policy_width(&outboxes) > 0;
                if json { print_json(&counts)? } else { print::counts(&counts, policies, &mut io::stdout().lock())? }
            }
            Some(Command::List { which, waiting, dead, limit }) => {
                let states: &[State] = match (waiting, dead) {
                    (true, false) => &[State::Waiting],
                    (false, true) => &[State::Dead],
                    _ => &[State::Waiting, State::Dead],
                };
                let limit = if limit == 0 { usize::MAX } else { limit };
                list(&mut outboxes, &which.filter()?, states, limit, json).await?;
            }
            Some(Command::Show { id, reveal }) => {
                let item = backend::show(&mut outboxes, &id, reveal).await?;
                print_json(&item)?;
            }
            Some(Command::Replay { change, wait }) => change.replay(&mut outboxes, wait, json).await?,
            Some(Command::Drop(change)) => {
                let verb = Verb { path: "/drop", offline: Offline::discard };
                let Done { events: dropped, .. } = change.run(&mut outboxes, verb).await?;
                let mut out = io::stdout();
                match json {
                    true => writeln!(out, "{}", json!({ "dropped": dropped }))?,
                    false => writeln!(out, "{} dropped", count(dropped, "event"))?,
                }
            }
        }
        Ok(())
    }
}

/// Returns the columns that the names of policies need in a table; 0 if there is but the one of the setting `policy`.
fn policy_width(outboxes: &[Backend]) -> usize {
    let widest = outboxes.iter().map(|outbox| outbox.policy.len()).max().unwrap_or_default();
    let is_only = outboxes.len() < 2 && outboxes.iter().all(|outbox| outbox.policy == TARGET);
    if is_only { 0 } else { widest.max("POLICY".len()) }
}

/// Lists events page by page, as there may be millions.
async fn list(outboxes: &mut [Backend], filter: &Filter, states: &[State], limit: usize, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let mut serializer = serde_json::Serializer::pretty(&mut out);
        let mut array = serializer.serialize_seq(None)?;
        let print = |items: &[Item], _| Ok(items.iter().try_for_each(|item| array.serialize_element(item))?);
        each_page(outboxes, filter, states, limit, print).await?;
        array.end()?;
        return writeln!(out);
    }
    let table = print::Table { width: columns(), policy: policy_width(outboxes) };
    let print = |items: &[Item], listed| table.print(items, listed == 0, &mut out);
    let listed = each_page(outboxes, filter, states, limit, print).await?;
    if listed < limit {
        return if listed == 0 { writeln!(out, "no such events") } else { Ok(()) };
    }
    let mut total = 0;
    for outbox in outboxes {
        for state in states {
            let filter = Filter { state: Some(*state), ..filter.clone() };
            let count: i64 = outbox.ask("/count", Some(json!(filter)), |outbox| outbox.count(&filter)).await?;
            total += usize::try_from(count).unwrap_or_default();
        }
    }
    if total > listed { writeln!(out, "{listed} of {total} events; --limit 0 lists all") } else { Ok(()) }
}

/// Calls `print` with each page and the number of events before it, outbox by outbox. Returns the number of events.
async fn each_page(
    outboxes: &mut [Backend],
    filter: &Filter,
    states: &[State],
    limit: usize,
    mut print: impl FnMut(&[Item], usize) -> io::Result<()>,
) -> io::Result<usize> {
    let mut listed = 0;
    for outbox in outboxes {
        for state in states {
            let mut after = None;
            while listed < limit {
                let filter = Filter { state: Some(*state), after, limit: Some(limit - listed), ..filter.clone() };
                let items: Vec<Item> = outbox.ask("/list", Some(json!(filter)), |outbox| outbox.list(&filter)).await?;
                let Some(last) = items.last() else { break };
                after = Some(last.place);
                print(&items, listed)?;
                listed += items.len();
            }
        }
    }
    Ok(listed)
}

/// Parses an age or a point in time, as milliseconds since 1970.
fn since(text: &str) -> Result<i64, String> {
    let then = match humantime::parse_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let then = then.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok());
    let then = then.and_then(|then| i64::try_from(then.as_millis()).ok());
    then.ok_or_else(|| "expected a time ago as in 2h, or a point in time as in 2026-01-31T12:00:00Z".to_owned())
}
