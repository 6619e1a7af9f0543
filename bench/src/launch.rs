//! How every other process begins: on its core, and never outliving the one that started it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::pin;

/// Said just before the program begins: its time counts from here.
pub const LAUNCHED: &str = "launched";

/// How hookgate and OpenTelemetry's libraries are set up: whoever measures may have some of these, yet what is measured
/// has its defaults.
const SETTINGS: [&[u8]; 2] = [b"HOOKGATE_", b"OTEL_"];

#[derive(Args)]
pub struct Launch {
    /// The core to stay on
    #[arg(long)]
    core: Option<usize>,
    /// Who started this
    #[arg(long)]
    parent: i32,
    #[arg(last = true, required = true, num_args = 1..)]
    command: Vec<OsString>,
}

impl Launch {
    pub fn run(self) -> Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie this process to its parent")?;
        // It may have ended before it was tied to.
        ensure!(getppid().map(Pid::as_raw_pid) == Some(self.parent), "the process that started this one has ended");
        if let Some(core) = self.core {
            pin::stay_on(core)?;
        }
        let (program, arguments) = self.command.split_first().context("no program to launch")?;
        writeln!(io::stderr(), "{LAUNCHED}")?;
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, _) in env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        let error = command.exec();
        Err(error).with_context(|| format!("cannot run {}", program.display()))
    }
}

fn is_setting(name: &OsStr) -> bool {
    SETTINGS.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_by_their_beginning() {
        assert!(is_setting(OsStr::new("HOOKGATE_POLICY")) && is_setting(OsStr::new("OTEL_SDK_DISABLED")));
        assert!(!is_setting(OsStr::new("PATH")) && !is_setting(OsStr::new("MY_HOOKGATE_POLICY")));
    }
}
