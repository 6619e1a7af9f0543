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
mod shadow;
mod status;
mod trigger;
mod verify;

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;

use crate::config::{Options, Report};
use crate::openim::Release;
use crate::outbox::OpenError;
use crate::text::wrapped_message;

/// OpenIM webhooks in, gRPC policy out.
#[derive(Debug, Parser)]
#[command(
    version,
    long_version = long_version(),
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    after_help = examples(&["hookgate", "hookgate --policy policy:50051", "hookgate --config hookgate.yaml", "hookgate trigger CALLBACK", "hookgate help trigger"]),
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer OpenIM's webhooks (the default)
    #[command(after_help = examples(&[
        "hookgate serve --policy policy:50051",
        "hookgate serve --policy https://policy:50051 --data /var/lib/hookgate",
        "hookgate serve --policy unix:/run/policy.sock --listen :10006 --log debug",
        "hookgate serve --config hookgate.yaml",
    ]))]
    Serve(Options),
    /// List the callbacks, or show one in full: its names and releases, what it carries, what an allow can change
    Callbacks(callbacks::Callbacks),
    /// Write the .proto files of the contract that this hookgate was built from
    Proto(proto::Proto),
    /// Post a webhook as OpenIM would, and explain how OpenIM reads the reply
    Trigger(trigger::Trigger),
    /// Show the state of a running hookgate on one page, warnings first. Exit with 1 if it is not ready or does not answer
    Status(status::Status),
    /// Show what a running hookgate has received from OpenIM that this build does not expect
    Drift(drift::Drift),
    /// Show how the verdicts of shadows (shadow in routes) differ from the replies of a running hookgate
    Shadow(shadow::Shadow),
    /// Exit with 0 if a running hookgate is ready, otherwise with 1 and the reason
    Health(health::Health),
    /// Write, check or print the configuration that serve would run with
    #[command(subcommand)]
    Config(config::Config),
    /// List, replay or drop the After events that are kept on disk (--data of serve) or on a cluster (after.store)
    Outbox(outbox::Outbox),
    /// Check that a policy service answers every callback, with odd input too, and that OpenIM understands it
    Verify(verify::Verify),
    /// Print shell completions
    Completions(completions::Completions),
}

/// Returns the version, the commit if the build knew it, and OpenIM's releases.
fn long_version() -> String {
    let commit = option_env!("HOOKGATE_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!(" (commit {commit})")).unwrap_or_default();
    let releases = Release::ALL.map(Release::as_str).join(", ");
    format!("{}{commit}\nOpenIM releases: {releases}", env!("CARGO_PKG_VERSION"))
}

/// Returns the examples of a command's help. `CALLBACK` stands for the key of a callback.
fn examples(commands: &[&str]) -> String {
    let lines: String = commands.iter().map(|command| format!("\n  {command}")).collect();
    format!("Examples:{}", lines.replace("CALLBACK", callbacks::example()))
}

/// Error of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
    pub(crate) fn exit_code(&self) -> u8 {
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
    /// Runs the command, prints its error, and returns the exit code.
    pub fn run(self) -> ExitCode {
        match self.dispatch() {
            Ok(code) => code,
            // The reader has closed the pipe: head, less.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                error.exit_code().into()
            }
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
            Command::Shadow(options) => options.run()?,
            Command::Drift(options) => return options.run(),
            Command::Status(options) => return options.run(),
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

/// Passes over the error of a closed output (`| head`), for commands whose exit code matters more.
fn unless_closed(printed: io::Result<()>) -> io::Result<()> {
    printed.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// Prints a line to standard error. A closed one is ignored, where `eprintln` panics.
fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", wrapped_message(line));
}

/// Prints a value as indented JSON.
fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// Returns a time in its two largest units: `2h 5m`.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Returns the name of an rpc without its service.
fn method(rpc: &str) -> &str {
    rpc.rsplit_once('/').map_or(rpc, |(_, method)| method)
}

/// Makes a progress bar on standard error, with whole numbers. indicatif shows it on a terminal alone.
fn progress_bar(len: usize, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let per_second = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{:.0}/s", state.per_sec());
    };
    ProgressBar::new(len as u64).with_style(style.with_key("per_sec", per_second))
}
