//! The command line: one file for each subcommand.

mod admin;
mod callbacks;
mod completions;
mod config;
mod drift;
mod health;
mod outbox;
mod proto;
mod serve;
mod trigger;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::config::{Options, Report};
use crate::outbox::OpenError;

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
    /// Answer OpenIM's webhooks (the default)
    Serve(Options),
    /// List the callbacks: command, timing, rpc, and the fields that an allow can change
    Callbacks(callbacks::Callbacks),
    /// Write the .proto files of the contract that this hookgate was built from
    Proto(proto::Proto),
    /// Post a webhook as OpenIM would, and explain how OpenIM reads the reply
    Trigger(trigger::Trigger),
    /// Show what a running hookgate has received from OpenIM that this build does not expect
    Drift(drift::Drift),
    /// Exit with 0 if a running hookgate is ready, otherwise with 1 and the reason
    Health(health::Health),
    /// Write, check or print the configuration that serve would run with
    #[command(subcommand)]
    Config(config::Config),
    /// List, replay or drop the After events that are stored on disk (--data of serve)
    Outbox(outbox::Outbox),
    /// Check that a policy service answers every callback, with odd input too, and that OpenIM understands it
    Verify(verify::Verify),
    /// Print shell completions
    Completions(completions::Completions),
}

/// Error of a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has mistakes; nothing was started.
    #[error(transparent)]
    Config(#[from] Report),
    /// The arguments cannot be used.
    #[error("hookgate: {0}")]
    Usage(String),
    /// The command failed.
    #[error("hookgate: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Returns 2 for usage and configuration, as clap does, and 1 for the rest.
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

impl Cli {
    /// Runs the command and returns the exit code.
    pub fn run(self) -> Result<ExitCode, Error> {
        match self.dispatch() {
            // The reader has closed the pipe: head, less.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            result => result,
        }
    }

    fn dispatch(self) -> Result<ExitCode, Error> {
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(options) => return serve::run(&options),
            Command::Callbacks(options) => options.run()?,
            Command::Completions(options) => options.run()?,
            Command::Config(command) => command.run()?,
            Command::Health(options) => options.run()?,
            Command::Outbox(options) => options.run()?,
            Command::Proto(options) => options.run()?,
            Command::Drift(options) => return options.run(),
            Command::Trigger(options) => return options.run(),
            Command::Verify(options) => return options.run(),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs a future on a runtime of one thread.
fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

/// Prints a value as indented JSON.
fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// Makes a progress bar on standard error. indicatif shows it on a terminal alone.
fn progress_bar(len: usize, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len as u64).with_style(style)
}
