//! The commands: one file each.

mod callbacks;
mod serve;

use std::io;

use clap::{Parser, Subcommand};

use crate::config;

/// OpenIM webhooks in, gRPC policy out.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: config::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer OpenIM's webhooks (what hookgate does without a command)
    Serve(config::Serve),
    /// List the callbacks: command, timing, rpc, and what an allow can change
    Callbacks(callbacks::Callbacks),
}

impl Cli {
    /// Does what was asked.
    pub fn run(self) -> io::Result<()> {
        match self.command {
            None => serve::run(self.serve),
            Some(Command::Serve(options)) => serve::run(options),
            Some(Command::Callbacks(options)) => options.run(),
        }
    }
}
