//! `hookgate verify`: checks a policy service.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Error, block_on, complain, examples, print_json, progress_bar, unless_closed};
use crate::config::{self, Config, Options, PolicyUrl, nearest};
use crate::contract::Callback;
use crate::text::width;
use crate::verify::{self, Check, Outcome, Plan};

/// Options of `hookgate verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(super) struct Verify {
    /// The policy service to check, as in http://policy:50051, https://policy:50051 or unix:///run/policy.sock
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKGATE_POLICY",
        hide_env_values = true,
        required_unless_present = "config"
    )]
    policy: Option<String>,
    /// Take policy, policy_tls, budgets and the rest from the file that hookgate serves with
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Send these webhooks too: bodies as OpenIM posts them or fixtures, a directory of them, or - for standard input; repeatable
    #[arg(long, value_name = "FILE")]
    requests: Vec<PathBuf>,
    /// Run only these: callbacks by command, rpc or key, and checks by name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these out: callbacks by command, rpc or key, and checks by name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    skip: Vec<String>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// Write the report to a file as JUnit's XML too, for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Timeout of every call, in place of the budgets [default: 4500ms]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Certificate authorities that are trusted for the policy's certificate (PEM), in place of the system's
    #[arg(long, value_name = "FILE")]
    policy_tls_ca: Option<String>,
    /// Certificate chain that the policy is shown if it asks for one (PEM)
    #[arg(long, value_name = "FILE")]
    policy_tls_certificate: Option<String>,
    /// Private key of that certificate (PEM)
    #[arg(long, value_name = "FILE")]
    policy_tls_key: Option<String>,
    /// Name that the policy's certificate must have, if it is not the host of its URL
    #[arg(long, value_name = "NAME")]
    policy_tls_server_name: Option<String>,
}

/// Lists the checks for the help.
fn after_help() -> String {
    let checks: String = Check::all().map(|check| format!("  {:<16}{}\n", check.name, check.purpose)).collect();
    let examples = examples(&[
        "hookgate verify --policy policy:50051",
        "hookgate verify --policy policy:50051 --only CALLBACK,health",
        "hookgate verify --policy unix:/run/policy.sock --junit report.xml",
    ]);
    format!(
        "{examples}\n\nChecks:\n{checks}\nExit code 0: all passed. 1: a check failed, or the policy cannot be reached. 2: usage."
    )
}

impl Verify {
    /// Checks the policy service, prints the report, and returns the exit code.
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let plan = self.plan()?;
        // Created before the run, which would be in vain.
        let junit = self.junit.as_ref().map(File::create).transpose().map_err(|error| self.cannot_write(&error))?;
        let progress = progress_bar(plan.callbacks.len(), "{bar:30} {pos}/{len} {msg}");
        let report = block_on(verify::run(&plan, |done, callback| {
            progress.set_position(done as u64);
            progress.set_message(callback);
        }))?;
        progress.finish_and_clear();
        if let Some(mut file) = junit {
            let xml = verify::junit(&report).map_err(io::Error::other)?;
            file.write_all(xml.as_bytes()).map_err(|error| self.cannot_write(&error))?;
        }
        let unreached = report.service.first().filter(|connection| connection.outcome == Outcome::Failed);
        if self.json {
            unless_closed(print_json(&report))?;
        } else if let Some(connection) = unreached {
            let [why, hint] = [&report.stopped, &connection.hint].map(|text| text.as_deref().unwrap_or_default());
            complain(format_args!("hookgate: {why} ({}); {hint}", report.policy));
        } else {
            // anstream strips colour where there is no terminal, and with NO_COLOR.
            unless_closed(verify::print(&report, width(), &mut anstream::stdout().lock()))?;
        }
        Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Returns the plan, or all mistakes in the options at once.
    fn plan(&self) -> Result<Plan, Error> {
        let mut mistakes = Vec::new();
        let mut note = |flag: &str, mistake: String| mistakes.push(format!("{flag}: {mistake}"));
        if let Some(Err(mistake)) = self.policy.as_deref().map(str::parse::<PolicyUrl>) {
            note("--policy", mistake);
        }
        let timeout = self.timeout.as_deref().map(config::parse_time).transpose();
        let timeout = timeout.map_err(|mistake| note("--timeout", mistake)).unwrap_or_default();
        let mut requests = Vec::new();
        for read in self.requests.iter().map(|file| verify::read_requests(file)) {
            match read {
                Ok(read) => requests.extend(read),
                Err(found) => found.into_iter().for_each(|mistake| note("--requests", mistake)),
            }
        }
        let only = Names::read(&self.only, |mistake| note("--only", mistake));
        let skip = Names::read(&self.skip, |mistake| note("--skip", mistake));
        let is_chosen =
            |only: &[&str], skip: &[&str], name| (only.is_empty() || only.contains(&name)) && !skip.contains(&name);
        let is_sent = |callback: &Callback| requests.iter().any(|own| std::ptr::eq(own.callback, callback));
        let fallback = [Callback::fallback()].into_iter().filter(|fallback| is_sent(fallback));
        let callbacks = Callback::all().iter().chain(fallback);
        let mut callbacks: Vec<_> =
            callbacks.filter(|callback| is_chosen(&only.rpcs, &skip.rpcs, callback.rpc)).collect();
        let checks = Check::all().filter(|check| is_chosen(&only.checks, &skip.checks, check.name));
        let mut checks: Vec<_> = checks.collect();
        if skip.checks.contains(&Check::OF_SERVICE[0].name) {
            note("--skip", "every other check needs the connection".to_owned());
        }
        let only_own = Check::are_own(&checks);
        if only_own && self.requests.is_empty() {
            note("--only", "requests needs --requests FILE".to_owned());
        } else if only_own && !requests.is_empty() {
            callbacks.retain(|callback| is_sent(callback));
        }
        if checks.is_empty() || callbacks.is_empty() {
            note("--skip", "nothing is left to check".to_owned());
        }
        // If nothing is implemented, no check of a callback is run, which must not look like success.
        let is_of_callback = |check: &&Check| Check::OF_CALLBACK.contains(check);
        let implemented = &Check::IMPLEMENTED;
        if checks.iter().any(is_of_callback)
            && !checks.contains(&implemented)
            && !skip.checks.contains(&implemented.name)
        {
            checks.push(implemented);
        }
        if !mistakes.is_empty() {
            return Err(Error::Usage(mistakes.join("\nhookgate: ")));
        }
        let config = Config::load(&self.options())?.config;
        let policy = config.policy.clone().ok_or_else(|| {
            Error::Usage("--policy: names the policy service to check, which builtin is not".to_owned())
        })?;
        Ok(Plan { policy, callbacks, checks, requests, config, timeout })
    }

    /// Returns the options that serve would have.
    fn options(&self) -> Options {
        let given = [
            ("config", &self.config),
            ("policy", &self.policy),
            ("policy_tls.ca", &self.policy_tls_ca),
            ("policy_tls.certificate", &self.policy_tls_certificate),
            ("policy_tls.key", &self.policy_tls_key),
            ("policy_tls.server_name", &self.policy_tls_server_name),
        ];
        Options::of_flags(given.into_iter().filter_map(|(path, text)| Some((path, text.clone()?))))
    }

    fn cannot_write(&self, error: &io::Error) -> io::Error {
        let file = self.junit.as_deref().unwrap_or("".as_ref()).display();
        io::Error::new(error.kind(), format!("cannot write {file}: {error}"))
    }
}

/// Callbacks and checks that an option names.
#[derive(Default)]
struct Names {
    rpcs: Vec<&'static str>,
    checks: Vec<&'static str>,
}

impl Names {
    fn read(names: &[String], mut note: impl FnMut(String)) -> Self {
        let mut read = Self::default();
        for name in names {
            if let Some(check) = Check::all().find(|check| check.name == name) {
                read.checks.push(check.name);
            } else if let Some(callback) = Callback::by_name(name) {
                read.rpcs.push(callback.rpc);
            } else {
                let nearest = nearest(name, known_names()).map(|nearest| format!("; did you mean {nearest}?"));
                note(format!("{name:?}: no such callback or check{}", nearest.unwrap_or_default()));
            }
        }
        read
    }
}

/// Returns the names of all checks and callbacks, older ones too.
fn known_names() -> impl Iterator<Item = &'static str> {
    Check::all().map(|check| check.name).chain(Callback::all().iter().flat_map(Callback::names))
}
