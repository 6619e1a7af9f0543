//! The commands: one file each.

mod callbacks;
mod config;
mod serve;
mod verify;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Options, Report};

/// OpenIM webhooks in, gRPC policy out.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer OpenIM's webhooks (what hookgate does without a command)
    Serve(Options),
    /// List the callbacks: command, timing, rpc, and what an allow can change
    Callbacks(callbacks::Callbacks),
    /// Check or print the configuration that serve would run with
    #[command(subcommand)]
    Config(config::Config),
    /// Check a policy service: does it answer every callback, on odd input too, as OpenIM will understand it
    Verify(verify::Verify),
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has mistakes; nothing was started.
    #[error(transparent)]
    Config(#[from] Report),
    /// Something went wrong later.
    #[error("hookgate: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// 2 for usage and configuration, as clap has it; 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Io(_) => 1,
        }
    }
}

impl Cli {
    /// Does what was asked; gives the exit code.
    pub fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            None => serve::run(&self.serve)?,
            Some(Command::Serve(options)) => serve::run(&options)?,
            Some(Command::Callbacks(options)) => options.run()?,
            Some(Command::Config(command)) => command.run()?,
            Some(Command::Verify(options)) => return options.run(),
        }
        Ok(ExitCode::SUCCESS)
    }
}
