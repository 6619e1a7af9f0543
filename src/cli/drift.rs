//! `hookgate drift`: shows what a running hookgate has received from its OpenIM that this build does not expect.

use std::io;
use std::process::ExitCode;

use serde::Deserialize;

use super::admin::Admin;
use super::{Error, block_on, examples, print_json};
use crate::observe::drift::{self, Report};

/// Options of `hookgate drift`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["hookgate drift", "hookgate drift --admin hookgate:10007 --exit-code"]))]
pub(super) struct Drift {
    #[command(flatten)]
    admin: Admin,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    /// Exit with 1 if anything differs from what this build expects
    #[arg(long)]
    exit_code: bool,
}

/// The part of `/status` about drift.
#[derive(Deserialize)]
struct Status {
    drift: Report,
}

impl Drift {
    /// Asks the admin listener and prints the report.
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let Status { drift: report } = block_on(self.admin.ask("/status", None, "--admin takes another address"))??;
        if self.json {
            print_json(&report)?;
        } else {
            drift::print(&report, &mut io::stdout().lock())?;
        }
        Ok(if self.exit_code && report.is_drift() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
