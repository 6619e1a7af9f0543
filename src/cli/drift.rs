//! `hookgate drift`: what a running hookgate has seen of its OpenIM that this build does not expect.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Deserialize;

use super::Error;
use super::admin::Admin;
use crate::observe::drift::{self, Report};

/// Options of `hookgate drift`.
#[derive(Debug, clap::Args)]
pub struct Drift {
    #[command(flatten)]
    admin: Admin,

    /// Print one JSON object, for programs
    #[arg(long)]
    json: bool,

    /// Exit with 1 where anything is otherwise than this build expects
    #[arg(long)]
    exit_code: bool,
}

/// The part of `/status` that is wanted.
#[derive(Deserialize)]
struct Status {
    drift: Report,
}

impl Drift {
    /// Asks, and prints.
    pub fn run(self) -> Result<ExitCode, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Status { drift: report } = runtime.block_on(self.admin.open().get("/status"))?;
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            drift::print(&report, &mut out)?;
        }
        let code = if self.exit_code && report.is_drift() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        Ok(code)
    }
}
