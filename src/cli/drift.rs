//! `hookgate drift`: what a running hookgate has seen of its OpenIM that this build does not expect.

use std::io::{self, Write as _};
use std::process::ExitCode;

use http::Uri;

use super::{Error, http_url};
use crate::drift;

/// Options of `hookgate drift`.
#[derive(Debug, clap::Args)]
pub struct Drift {
    /// The running hookgate's admin listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10007", value_parser = http_url)]
    admin: Uri,

    /// Print one JSON object, for programs
    #[arg(long)]
    json: bool,

    /// Exit with 1 where anything is otherwise than this build expects
    #[arg(long)]
    exit_code: bool,
}

impl Drift {
    /// Asks, and prints.
    pub fn run(self) -> Result<ExitCode, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = runtime.block_on(drift::ask(&self.admin)).map_err(io::Error::other)?;
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
