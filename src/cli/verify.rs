//! `hookgate verify`: a policy service on trial.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::Error;
use crate::config::{self, Finding, Origin, nearest};
use crate::contract::Callback;
use crate::verify::{self, Check, Outcome, Plan};

/// Options of `hookgate verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub struct Verify {
    /// The policy service to check, as in http://policy:50051, https://policy:50051 or unix:///run/policy.sock
    #[arg(long, value_name = "URL", env = "HOOKGATE_POLICY", hide_env_values = true)]
    policy: String,
    /// Check nothing but these: callbacks by command, rpc or key, and checks by name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these out: callbacks by command, rpc or key, and checks by name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    skip: Vec<String>,
    /// Print a JSON document, for programs
    #[arg(long)]
    json: bool,
    /// Write the report as JUnit's XML too, for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// The time that the policy has for a call
    #[arg(long, value_name = "TIME", default_value = "4500ms")]
    timeout: String,
}

/// The checks, for the help.
fn after_help() -> String {
    let line = |check: Check| format!("  {:<16}{}\n", check.name(), check.purpose());
    let checks: String = Check::all().map(line).collect();
    format!("Checks:\n{checks}\nExit code 0: all passed. 1: a check failed, or the policy cannot be reached. 2: usage.")
}

impl Verify {
    /// Checks the policy and prints what came of it.
    pub fn run(self) -> Result<ExitCode, Error> {
        let plan = self.plan().map_err(config::Report)?;
        // Before the run: nobody waits for a report that cannot be written.
        let junit = match &self.junit {
            Some(file) => Some(File::create(file).map_err(|error| self.cannot_write(&error))?),
            None => None,
        };
        let bar = progress_bar(plan.callbacks.len());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = runtime.block_on(verify::run(&plan, |done, callback| {
            bar.set_position(done as u64);
            bar.set_message(callback);
        }));
        bar.finish_and_clear();
        if let Some(mut file) = junit {
            let xml = verify::junit(&report).map_err(io::Error::other)?;
            file.write_all(xml.as_bytes()).map_err(|error| self.cannot_write(&error))?;
        }
        let unreached = report.service.first().is_some_and(|connection| connection.outcome == Outcome::Failed);
        if unreached && !self.json {
            eprintln!("hookgate: {} ({})", report.stopped.as_deref().unwrap_or_default(), report.policy);
        } else {
            self.print(&report)?;
        }
        Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn print(&self, report: &verify::Report) -> io::Result<()> {
        // It takes colour off where there is no terminal, and where NO_COLOR is set.
        let mut out = anstream::stdout().lock();
        if !self.json {
            return verify::print(report, &mut out);
        }
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)
    }

    /// What is to be checked, or everything that is wrong with what was said.
    fn plan(&self) -> Result<Plan, Vec<Finding>> {
        let mut wrong = Vec::new();
        let mut note = |flag: &str, what: String| wrong.push(Finding::new(Origin::Flag(flag.to_owned()), "", what));
        let policy = self.policy.parse().map_err(|what| note("--policy", what)).ok();
        let budget = config::parse_time(&self.timeout).map_err(|what| note("--timeout", what)).unwrap_or_default();
        let only = Names::read(&self.only, |what| note("--only", what));
        let skip = Names::read(&self.skip, |what| note("--skip", what));
        if skip.checks.contains(&Check::Connection) {
            note("--skip", "every other check needs the connection".to_owned());
        }
        let is_skipped = |callback: &Callback| skip.callbacks.iter().any(|skipped| skipped.rpc == callback.rpc);
        let is_asked = |callback: &Callback| {
            only.callbacks.is_empty() || only.callbacks.iter().any(|asked| asked.rpc == callback.rpc)
        };
        let callbacks: Vec<_> =
            Callback::all().iter().filter(|callback| is_asked(callback) && !is_skipped(callback)).collect();
        let mut checks: Vec<_> = Check::all()
            .filter(|check| only.checks.is_empty() || only.checks.contains(check))
            .filter(|check| !skip.checks.contains(check))
            .collect();
        let of_callbacks = checks.iter().any(|check| !check.is_of_service());
        if checks.is_empty() || callbacks.is_empty() {
            note("--skip", "nothing is left to check".to_owned());
        }
        // Where nothing is implemented no check of a callback is made, which is not to look like success.
        if of_callbacks && !skip.checks.contains(&Check::Implemented) && !checks.contains(&Check::Implemented) {
            checks.push(Check::Implemented);
        }
        match policy {
            Some(policy) if wrong.is_empty() => Ok(Plan { policy, callbacks, checks, budget }),
            _ => Err(wrong),
        }
    }

    fn cannot_write(&self, error: &io::Error) -> io::Error {
        let file = self.junit.as_deref().unwrap_or("".as_ref()).display();
        io::Error::new(error.kind(), format!("cannot write {file}: {error}"))
    }
}

/// Callbacks and checks that were named.
#[derive(Default)]
struct Names {
    callbacks: Vec<&'static Callback>,
    checks: Vec<Check>,
}

impl Names {
    fn read(names: &[String], mut note: impl FnMut(String)) -> Self {
        let mut read = Self::default();
        for name in names {
            match (Check::by_name(name), Callback::by_name(name)) {
                (Some(check), _) => read.checks.push(check),
                (None, Some(callback)) => read.callbacks.push(callback),
                (None, None) => {
                    let meant = nearest(name, known()).map(|meant| format!("; did you mean {meant}?"));
                    note(format!("{name:?}: no such callback or check{}", meant.unwrap_or_default()));
                }
            }
        }
        read
    }
}

/// Every name that somebody may have meant.
fn known() -> impl Iterator<Item = &'static str> {
    let of_callback = |callback: &'static Callback| {
        let one = [callback.method(), callback.config_key, callback.command, callback.service_and_method()];
        one.into_iter().chain(callback.older_commands.iter().chain(callback.older_config_keys).copied())
    };
    Check::all().map(Check::name).chain(Callback::all().iter().flat_map(of_callback))
}

/// A bar on standard error, where somebody looks.
fn progress_bar(callbacks: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(callbacks as u64);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
