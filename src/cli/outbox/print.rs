//! Tables of events.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytesize::ByteSize;
use tabwriter::TabWriter;

use crate::cli::{age, method};
use crate::outbox::{Count, Item, State};
use crate::text;

/// Columns that a line for each event needs; a narrower terminal shows two.
const WIDE: usize = 110;

/// Prints a line for each rpc, state and reason; with `policies`, of each policy.
pub(super) fn counts(counts: &[Count], policies: bool, out: &mut impl Write) -> io::Result<()> {
    if counts.is_empty() {
        return writeln!(out, "no events");
    }
    let mut table = TabWriter::new(out);
    writeln!(table, "{}RPC\tSTATE\tEVENTS\tBYTES\tOLDEST", if policies { "POLICY\t" } else { "" })?;
    for count in counts {
        let (rpc, state) = (method(&count.rpc), state(count.state, count.reason.as_deref()));
        let bytes = ByteSize::b(u64::try_from(count.bytes).unwrap_or_default());
        let policy = if policies { format!("{}\t", count.target) } else { String::new() };
        writeln!(table, "{policy}{rpc}\t{state}\t{}\t{bytes}\t{}", count.events, since(count.oldest))?;
    }
    table.flush()
}

/// The table of events.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// Columns of the terminal; none if it is no terminal.
    pub(super) width: Option<usize>,
    /// Columns of the policy's name; 0 without it.
    pub(super) policy: usize,
}

impl Table {
    /// Prints a line for each event, below the heads of the columns if they are the first; or two lines in a terminal of a
    /// width that is too narrow for one.
    pub(super) fn print(self, items: &[Item], are_first: bool, out: &mut impl Write) -> io::Result<()> {
        let is_narrow = self.width.is_some_and(|width| width < WIDE + self.policy);
        if are_first && !is_narrow {
            let (id, state, age, attempts, rpc) = ("ID", "STATE", "AGE", "ATTEMPTS", "RPC");
            let policy = self.policy("POLICY");
            writeln!(out, "{policy}{id:<36}  {state:<19}  {age:<8}  {attempts:<8}  {rpc:<23}  BELONGS TO")?;
        }
        for item in items {
            let Item { id, attempts, .. } = item;
            let state = if item.parked { "parked".to_owned() } else { state(item.state, item.reason.as_deref()) };
            let (policy, rpc) = (self.policy(&item.target), method(&item.rpc));
            let (age, key) = (since(item.arrived), item.key.as_deref().unwrap_or("-").escape_debug());
            if is_narrow {
                let attempts = text::count(*attempts, "attempt");
                writeln!(out, "{id:<36} {state:<19} {age:>8}  {attempts}\n    {policy}{rpc}  {key}")?;
            } else {
                writeln!(out, "{policy}{id:<36}  {state:<19}  {age:<8}  {attempts:<8}  {rpc:<23}  {key}")?;
            }
        }
        Ok(())
    }

    fn policy(self, name: &str) -> String {
        let width = self.policy;
        if width == 0 { String::new() } else { format!("{name:<width$}  ") }
    }
}

fn state(state: State, reason: Option<&str>) -> String {
    match state {
        State::Waiting => "waiting".to_owned(),
        State::Dead => format!("dead: {}", reason.unwrap_or("unknown")),
    }
}

/// Returns the time since a Unix time in milliseconds.
fn since(milliseconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    age(now.saturating_sub(Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())))
}
