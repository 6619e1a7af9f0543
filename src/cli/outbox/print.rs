//! Tables of events.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytesize::ByteSize;
use tabwriter::TabWriter;

use crate::outbox::{Count, Item, State};

/// Prints a line for each rpc, state and reason.
pub(super) fn counts(counts: &[Count], out: &mut impl Write) -> io::Result<()> {
    if counts.is_empty() {
        return writeln!(out, "no events");
    }
    let mut table = TabWriter::new(out);
    writeln!(table, "RPC\tSTATE\tEVENTS\tBYTES\tOLDEST")?;
    for count in counts {
        let (rpc, state) = (short(&count.rpc), state(count.state, count.reason.as_deref()));
        let bytes = ByteSize::b(u64::try_from(count.bytes).unwrap_or_default());
        writeln!(table, "{rpc}\t{state}\t{}\t{bytes}\t{}", count.events, age(count.oldest))?;
    }
    table.flush()
}

/// Prints a line for each event, below the heads of the columns if they are the first.
pub(super) fn items(items: &[Item], are_first: bool, out: &mut impl Write) -> io::Result<()> {
    let mut table = TabWriter::new(out);
    if are_first {
        writeln!(table, "ID\tSTATE\tAGE\tATTEMPTS\tRPC\tBELONGS TO")?;
    }
    for item in items {
        let (rpc, state) = (short(&item.rpc), state(item.state, item.reason.as_deref()));
        let key = item.key.as_deref().unwrap_or("-").escape_debug();
        writeln!(table, "{}\t{state}\t{}\t{}\t{rpc}\t{key}", item.id, age(item.arrived), item.attempts)?;
    }
    table.flush()
}

fn state(state: State, reason: Option<&str>) -> String {
    match state {
        State::Waiting => "waiting".to_owned(),
        State::Dead => format!("dead: {}", reason.unwrap_or("unknown")),
    }
}

fn short(rpc: &str) -> &str {
    rpc.rsplit_once('.').map_or(rpc, |(_, short)| short)
}

/// Returns the time since a Unix time in milliseconds, in whole seconds.
fn age(milliseconds: i64) -> humantime::FormattedDuration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default());
    humantime::format_duration(Duration::from_secs(now.saturating_sub(then).as_secs()))
}
