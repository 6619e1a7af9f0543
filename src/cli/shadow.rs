//! `hookgate shadow`: the differences between the verdicts of shadows and the replies, and the guards that look at them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tabwriter::TabWriter;

use super::admin::Admin;
use super::{Error, block_on, examples, print_json};
use crate::observe::shadow::{Difference, ShadowRow};
use crate::server::guards::GuardReport;
use crate::text::count;

/// Ends an error without a reply.
const ELSEWHERE: &str = "--admin takes another address";

/// Options of `hookgate shadow`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["hookgate shadow", "hookgate shadow --admin hookgate:10007 --json", "hookgate shadow resume"]))]
pub(super) struct Shadow {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    admin: Admin,

    /// Print a JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take routes again that a guard has left
    #[command(after_help = examples(&["hookgate shadow resume", "hookgate shadow resume words-v2"]))]
    Resume {
        /// Name of the route; left out: all
        route: Option<String>,
    },
}

/// The report of a running hookgate.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    rows: Vec<ShadowRow>,
    /// Webhooks about which a shadow was not asked, by its name.
    not_asked: BTreeMap<String, u64>,
    guards: Vec<GuardReport>,
}

/// The routes that are taken again.
#[derive(Debug, Deserialize)]
struct Resumed {
    resumed: Vec<String>,
}

impl Shadow {
    /// Runs the subcommand; without one asks the admin listener and prints the report.
    pub(super) fn run(self) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let Some(Command::Resume { route }) = &self.command else {
            let report: Report = block_on(self.admin.ask("/shadow", None, ELSEWHERE))??;
            if self.json {
                print_json(&report)?;
            } else {
                print(&report, &mut out)?;
            }
            return Ok(());
        };
        let body = Some(json!({ "route": route }));
        let Resumed { resumed } = block_on(self.admin.ask("/shadow/resume", body, ELSEWHERE))??;
        match (self.json, &*resumed) {
            (true, _) => writeln!(out, "{}", json!({ "resumed": resumed }))?,
            (false, []) => writeln!(out, "no guard has left {}", route.as_deref().unwrap_or("a route"))?,
            (false, routes) => writeln!(out, "taken again: {}", routes.join(", "))?,
        }
        Ok(())
    }
}

/// Prints a table of the differences, those that are none in one line for each rpc.
fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for guard in &report.guards {
        let GuardReport { route, left, webhooks, failed, slow, compared, different, .. } = guard;
        match left {
            Some(why) => writeln!(out, "guard of {route}: LEFT, {why}; hookgate shadow resume takes it again")?,
            None => writeln!(
                out,
                "guard of {route}: {webhooks} looked at, {failed} failed, {slow} slow; {compared} compared, {different} differ"
            )?,
        }
    }
    if report.rows.is_empty() && report.not_asked.is_empty() {
        return writeln!(out, "no shadow was asked");
    }
    let compared: BTreeMap<_, u64> = report.rows.iter().fold(BTreeMap::new(), |mut all, row| {
        *all.entry((&row.policy, &row.rpc)).or_default() += row.count;
        all
    });
    let mut table = TabWriter::new(&mut *out);
    writeln!(table, "SHADOW\tRPC\tDIFFERENCE\tWEBHOOKS\tSHARE\tFIELDS\tOPERATION IDS OF THE LAST")?;
    for row in &report.rows {
        let ShadowRow { policy, rpc, difference, count, fields, examples } = row;
        let all = compared.get(&(policy, rpc)).copied().unwrap_or_default().max(1);
        let share = *count as f64 * 100.0 / all as f64;
        let method = rpc.rsplit('/').next().unwrap_or(rpc);
        let fields = or_dash(fields.iter().map(|(name, count)| format!("{name} {count}")));
        let examples = or_dash(examples.iter().map(|id| id.escape_debug().to_string()));
        writeln!(table, "{policy}\t{method}\t{difference}\t{count}\t{share:.2}%\t{fields}\t{examples}")?;
    }
    table.flush()?;
    for (policy, left_out) in report.not_asked.iter().filter(|(_, left_out)| **left_out > 0) {
        writeln!(out, "{policy} was not asked about {}", count(*left_out, "webhook"))?;
    }
    let differs = |row: &&ShadowRow| row.difference != Difference::Same.as_str();
    match report.rows.iter().filter(differs).map(|row| row.count).sum::<u64>() {
        0 => writeln!(out, "no difference"),
        _ => Ok(()),
    }
}

fn or_dash(parts: impl Iterator<Item = String>) -> String {
    let joined = parts.collect::<Vec<_>>().join(", ");
    if joined.is_empty() { "-".to_owned() } else { joined }
}
