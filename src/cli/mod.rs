//! The commands: one file each.

mod admin;
mod callbacks;
mod completions;
mod config;
mod drift;
mod outbox;
mod proto;
mod serve;
mod trigger;
mod verify;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Options, Report};
use crate::outbox::OpenError;
use crate::trigger::Unfit;

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
    /// Write the .proto files of the contract that this hookgate was built from
    Proto(proto::Proto),
    /// Be OpenIM: post a webhook, and see what OpenIM would make of the reply
    Trigger(trigger::Trigger),
    /// Ask a running hookgate what OpenIM sends that this build does not expect
    Drift(drift::Drift),
    /// Write, check or print the configuration that serve would run with
    #[command(subcommand)]
    Config(config::Config),
    /// Look at the After events that are kept on disk (--data of serve), send them again, or drop them
    Outbox(outbox::Outbox),
    /// Check a policy service: does it answer every callback, on odd input too, as OpenIM will understand it
    Verify(verify::Verify),
    /// Print shell completions
    Completions(completions::Completions),
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has mistakes; nothing was started.
    #[error(transparent)]
    Config(#[from] Report),
    /// What was asked for cannot be done.
    #[error("hookgate: {0}")]
    Usage(String),
    /// Something went wrong later.
    #[error("hookgate: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// 2 for usage and configuration, as clap has it; 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => 2,
            Self::Io(_) => 1,
        }
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        if error.is_mistake() { Self::Usage(error.to_string()) } else { Self::Io(io::Error::other(error)) }
    }
}

impl From<Unfit> for Error {
    fn from(error: Unfit) -> Self {
        Self::Usage(format!("--set: {error}"))
    }
}

impl Cli {
    /// Does what was asked; gives the exit code.
    pub fn run(self) -> Result<ExitCode, Error> {
        match self.done() {
            // Whoever reads has seen enough (head, less).
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            done => done,
        }
    }

    fn done(self) -> Result<ExitCode, Error> {
        match self.command {
            None => return serve::run(&self.serve),
            Some(Command::Serve(options)) => return serve::run(&options),
            Some(Command::Callbacks(options)) => options.run()?,
            Some(Command::Completions(options)) => options.run()?,
            Some(Command::Config(command)) => command.run()?,
            Some(Command::Outbox(options)) => options.run()?,
            Some(Command::Proto(options)) => options.run()?,
            Some(Command::Drift(options)) => return options.run(),
            Some(Command::Trigger(options)) => return options.run(),
            Some(Command::Verify(options)) => return options.run(),
        }
        Ok(ExitCode::SUCCESS)
    }
}
