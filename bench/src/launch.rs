//! How every other process begins: on its core, and never outliving the one that started it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::pin;

/// Said just before the program begins: its time counts from here.
pub const LAUNCHED: &str = "launched";

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
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("cannot run {}", program.display()))
    }
}
