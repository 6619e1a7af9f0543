//! `hookgate outbox`: the After events that are kept on disk: look at them, send them again, drop them.

mod place;
mod print;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Error;
use super::admin::Admin;
use super::callbacks::callback_named;
use crate::outbox::{Changed, Filter, State};
use place::Place;

/// Why events end and are kept, as their reasons are stored. What ends for another reason never got to the disk, or waits
/// there for the next start.
const REASONS: [&str; 5] = ["unimplemented", "invalid_reply", "attempts", "age", "unreadable"];

/// Options of `hookgate outbox`.
#[derive(Debug, Args)]
pub struct Outbox {
    #[command(subcommand)]
    command: Option<Command>,

    /// The directory, while no hookgate serves from it
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

    /// Print JSON, for programs
    #[arg(long, global = true, display_order = 102)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List events, without their content: those that wait first, oldest first
    List {
        #[command(flatten)]
        which: Which,
        /// Only those that wait
        #[arg(long, conflicts_with_all = ["dead", "reason"])]
        waiting: bool,
        /// Only those that ended undelivered
        #[arg(long)]
        dead: bool,
        /// So many at most; 0 is all of them
        #[arg(long, value_name = "N", default_value = "100")]
        limit: usize,
    },
    /// Show an event, as JSON
    Show {
        /// Its hookgate-event-id
        id: String,
        /// Show content and secrets too
        #[arg(long)]
        reveal: bool,
    },
    /// Send events again that ended undelivered, as if they had just arrived; by its ID also try one at once that waits
    Replay {
        #[command(flatten)]
        which: Which,
        /// Every one that ended
        #[arg(long)]
        all: bool,
    },
    /// Throw away events that ended undelivered; by its ID also one that waits
    Drop {
        #[command(flatten)]
        which: Which,
        /// Every one that ended
        #[arg(long)]
        all: bool,
    },
}

/// Which events are meant.
#[derive(Debug, Args)]
struct Which {
    /// The one with this hookgate-event-id
    id: Option<String>,

    /// Those of this callback: its rpc, its command or its key in OpenIM's webhooks.yml
    #[arg(long, value_name = "CALLBACK")]
    rpc: Option<String>,

    /// Those that ended for this reason
    #[arg(long, value_parser = REASONS)]
    reason: Option<String>,

    /// Those that ended (or arrived, where they have not ended) since: a time ago as in 2h, or as in 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
}

impl Which {
    fn filter(self, all: bool) -> Result<Filter, Error> {
        let Self { id, rpc, reason, since } = self;
        let rpc = rpc.map(|rpc| callback_named(&rpc)).transpose()?.map(|callback| callback.rpc.to_owned());
        Ok(Filter { id, rpc, reason, since, all, ..Filter::default() })
    }
}

impl Outbox {
    /// Does what was asked.
    pub fn run(self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Self { command, data, admin, json } = self;
        let mut place = Place::of(data, admin)?;
        runtime.block_on(async {
            let mut out = io::stdout().lock();
            match command {
                None => {
                    let counts = place.counted().await?;
                    if json { print::json(&counts, &mut out)? } else { print::counts(&counts, &mut out)? }
                }
                Some(Command::List { which, waiting, dead, limit }) => {
                    let states: &[State] = match (waiting, dead) {
                        (true, false) => &[State::Waiting],
                        (false, true) => &[State::Dead],
                        _ => &[State::Waiting, State::Dead],
                    };
                    let limit = if limit == 0 { usize::MAX } else { limit };
                    list(&place, &which.filter(false)?, states, limit, print::Items::new(json, &mut out)).await?;
                }
                Some(Command::Show { id, reveal }) => print::json(&place.show(&id, reveal).await?, &mut out)?,
                Some(Command::Replay { which, all }) => {
                    let events = change(&mut place, which.filter(all)?, Change::Replay).await?;
                    said(events, "sent again", "replayed", json, &mut out)?;
                }
                Some(Command::Drop { which, all }) => {
                    let events = change(&mut place, which.filter(all)?, Change::Drop).await?;
                    said(events, "dropped", "dropped", json, &mut out)?;
                }
            }
            Ok(())
        })
    }
}

/// Lists some at a time, as there may be millions.
async fn list<W: Write>(
    place: &Place,
    filter: &Filter,
    states: &[State],
    limit: usize,
    mut printed: print::Items<'_, W>,
) -> Result<(), Error> {
    let mut left = limit;
    for state in states {
        let mut after = None;
        while left > 0 {
            let filter = Filter { state: Some(*state), after, limit: Some(left), ..filter.clone() };
            let items = place.list(&filter).await?;
            let Some(last) = items.last() else { break };
            after = Some(last.place);
            left = left.saturating_sub(items.len());
            printed.print(&items)?;
        }
    }
    Ok(printed.end()?)
}

#[derive(Clone, Copy)]
enum Change {
    Replay,
    Drop,
}

/// Replays or drops until nothing is left that is meant; a bar shows how far it is, where a person looks.
async fn change(place: &mut Place, filter: Filter, change: Change) -> Result<usize, Error> {
    if filter == Filter::default() {
        return Err(Error::Usage("which events? An ID, --rpc, --reason, --since or --all says it".to_owned()));
    }
    let one = filter.id.is_some();
    // What ends undelivered while this runs would be replayed as fast as it ends: so many and no more.
    let meant = Filter { state: Some(State::Dead), ..filter.clone() };
    let mut left = if one { 1 } else { usize::try_from(place.count(&meant).await?).unwrap_or_default() };
    // It shows itself on a terminal alone.
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len}  {per_sec}  {eta}");
    let progress = ProgressBar::new(left as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (mut total, mut after) = (0, None);
    while left > 0 {
        let filter = Filter { limit: Some(left), after, ..filter.clone() };
        let Changed { events, last } = match change {
            Change::Replay => place.replay(&filter).await?,
            Change::Drop => place.discard(&filter).await?,
        };
        total += events;
        left = left.saturating_sub(events);
        progress.inc(events as u64);
        after = last;
        if after.is_none() {
            break;
        }
    }
    progress.finish_and_clear();
    Ok(total)
}

fn said(events: usize, what: &str, key: &str, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", json!({ key: events }));
    }
    let noun = if events == 1 { "event" } else { "events" };
    writeln!(out, "{events} {noun} {what}")
}

/// A point in time, as milliseconds since 1970.
fn since(text: &str) -> Result<i64, String> {
    let then = match humantime::parse_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let then = then.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok());
    let then = then.and_then(|then| i64::try_from(then.as_millis()).ok());
    then.ok_or_else(|| "expected a time ago as in 2h, or a point in time as in 2026-01-31T12:00:00Z".to_owned())
}
