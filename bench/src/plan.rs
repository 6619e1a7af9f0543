//! A run from its beginning to its report.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::body::Webhook;
use crate::candidates::{Candidate, READY};
use crate::child::Process;
use crate::cli::Options;
use crate::growth;
use crate::load::direct;
use crate::machine::Machine;
use crate::measure::Setting;
use crate::pin::{self, Cores};
use crate::report::Report;
use crate::samples::{Program, Round};

/// Before the closed loop is looked at.
const WARM_UP: Duration = Duration::from_millis(500);

/// Measures and reports.
pub async fn run(options: Options) -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let mut candidates = Candidate::choose(&options)?;
    let mut programs = Vec::new();
    for candidate in &mut candidates {
        candidate.see_through_scripts().await?;
        programs.push(Program { candidate: candidate.name.clone(), mib: candidate.size()? });
    }
    let machine = Machine::look(&candidates);
    let cores = if options.no_pin { Cores::default() } else { Cores::choose()? };
    // After all that is built, which may use every core.
    if let Some(core) = cores.rest {
        pin::stay_on(core)?;
    }
    let setting = Setting {
        cores,
        connections: options.connections,
        rate: options.rate,
        warm_up: if options.quick { WARM_UP / 2 } else { WARM_UP },
        window: options.window(),
    };
    if options.growth {
        return growth::run(&setting, &candidates, &machine).await;
    }
    let rounds = rounds(&options, &setting, &candidates).await?;
    let report = Report { machine, pinned: cores.rest.is_some(), rate: options.rate, programs, rounds };
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    println!("{}", report.markdown());
    if options.is_the_whole() {
        report.write(&options.command())?;
    }
    Ok(())
}

async fn rounds(options: &Options, setting: &Setting, candidates: &[Candidate]) -> Result<Vec<Round>> {
    let mut policy = Process::start_self("policy", setting.cores.rest, &[]).await?;
    let address = policy.line_with(READY).await?.1;
    let mut webhooks = Webhook::all()?;
    webhooks.retain(|webhook| options.bodies.is_empty() || options.bodies.iter().any(|name| name == webhook.name));
    let bar = bar(u64::from(options.rounds()) * (webhooks.len() * (candidates.len() + 1)) as u64)?;
    let mut rounds = Vec::new();
    for number in 1..=options.rounds() {
        for webhook in &webhooks {
            let tell = |name: &str| bar.set_message(format!("round {number}, {}: {name}", webhook.name));
            tell("the policy alone");
            let direct = direct::run(address.parse()?, webhook, setting.rate, setting.window).await?;
            bar.inc(1);
            let mut samples = Vec::new();
            // Another one begins each time, so that none always runs on a warm or a tired machine.
            let first = usize::from(number - 1) % candidates.len();
            for candidate in candidates[first..].iter().chain(&candidates[..first]) {
                tell(&candidate.name);
                samples.push(setting.measure(candidate, &address, webhook).await?);
                policy.check().await?;
                bar.inc(1);
            }
            rounds.push(Round {
                round: number,
                body: webhook.name,
                bytes: webhook.body.len(),
                connections: webhook.connections(options.connections),
                direct,
                samples,
            });
        }
    }
    bar.finish_and_clear();
    Ok(rounds)
}

/// Shown on a terminal alone.
fn bar(steps: u64) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {percent}% {msg}")?;
    Ok(ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr()).with_style(style))
}
