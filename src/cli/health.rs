//! `hookgate health`: asks a running hookgate if it is ready, where there is no curl, as in a container.

use std::io::{self, Write};

use http::StatusCode;

use super::admin::Admin;
use super::{Error, block_on, examples};

/// Options of `hookgate health`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["hookgate health", "hookgate health --live --admin unix:///run/hookgate/admin.sock"]))]
pub(super) struct Health {
    #[command(flatten)]
    admin: Admin,

    /// Ask only if it runs (/livez), whatever its policy does: for health checks after which it is restarted
    #[arg(long)]
    live: bool,
}

impl Health {
    /// Asks, and prints the response.
    pub(super) fn run(self) -> Result<(), Error> {
        let path = if self.live { "/livez" } else { "/readyz" };
        let response = block_on(self.admin.send(path, None, "--admin takes another address"))??;
        let (status, said) = (response.status(), String::from_utf8_lossy(response.body()));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(io::Error::other(format!("not ready: {}", said.trim_end())).into());
        }
        if !status.is_success() {
            return Err(self.admin.not_hookgate(format!("it answers {path} with {status}")).into());
        }
        Ok(io::stdout().write_all(said.as_bytes())?)
    }
}
