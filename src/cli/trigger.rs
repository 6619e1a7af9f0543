//! `hookgate trigger`: be OpenIM for a webhook, or for many.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Error;
use super::callbacks::callback_named;
use crate::client::{NoReply, Place};
use crate::config::Roots;
use crate::contract::Callback;
use crate::trigger::{self, Outlook, Poster, Reply, Set, Tally, Verdict, Webhook};

/// Options of `hookgate trigger`.
#[derive(Debug, clap::Args)]
pub struct Trigger {
    /// The callback: its key in OpenIM's webhooks.yml, its command or its rpc; hookgate callbacks lists them
    #[arg(required_unless_present = "repeat_last")]
    callback: Option<String>,

    /// Change a field of the body, by the contract's name or OpenIM's; repeatable
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<Set>,

    /// Post what this file holds (-: standard input) instead of an example
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// What stands as url in OpenIM's webhooks.yml, with its user and password if any; or a socket as in unix:///run/hookgate.sock
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10006")]
    to: Place,

    /// The authorities that a certificate of https:// must come from (PEM), in place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Post so many, each for an operation of its own, and sum up
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// So many a second, whatever becomes of those before; without it each waits for the reply to the one before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,

    /// Post the last webhook once more, with its operation ID
    #[arg(long, conflicts_with_all = ["callback", "body"])]
    repeat_last: bool,

    /// Print one JSON object, for programs
    #[arg(long)]
    json: bool,

    /// Exit with 3 where the newest OpenIM that sends it would stop the operation, with 4 where it could not read the reply
    /// or would be harmed
    #[arg(long)]
    exit_code: bool,
}

/// How many may wait for their replies at a time.
const MOST_WAITING: usize = 1000;

/// From how many on progress is shown.
const MANY: u64 = 100;

impl Trigger {
    /// Posts, and prints what came of it.
    pub fn run(self) -> Result<ExitCode, Error> {
        let authorities = self.ca.as_deref().map(Roots::open).transpose();
        let authorities = authorities.map_err(|what| Error::Usage(format!("--ca: {what}")))?;
        let poster = Poster::new(self.to.clone(), authorities);
        let webhook = self.webhook()?;
        if let Err(error) = trigger::remember(&webhook) {
            eprintln!("hookgate: --repeat-last will not know this webhook: {error}");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worst = if self.count == 1 {
            runtime.block_on(self.one(poster, &webhook))?
        } else {
            match runtime.block_on(self.many(poster, webhook))? {
                Some(worst) => worst,
                None => return Ok(ExitCode::FAILURE),
            }
        };
        Ok(match worst {
            _ if !self.exit_code => ExitCode::SUCCESS,
            Verdict::Allowed | Verdict::Changed | Verdict::Told => ExitCode::SUCCESS,
            Verdict::Denied => 3.into(),
            Verdict::Unreadable | Verdict::Harmful => 4.into(),
        })
    }

    fn webhook(&self) -> Result<Webhook, Error> {
        let Some(name) = &self.callback else {
            let last = trigger::recall().map_err(|error| Error::Usage(format!("--repeat-last: {error}")))?;
            let last = last.ok_or_else(|| Error::Usage("--repeat-last: nothing was posted yet".to_owned()))?;
            let body = self.changed(last.callback(), last.body.clone())?;
            return Ok(Webhook { body, ..last });
        };
        let callback = callback_named(name)?;
        // An older command posts to its own path, as the servers that use it do.
        let command = if Callback::by_command(name).is_some() { name } else { callback.command };
        let body = match &self.body {
            Some(file) => read(file)?,
            None => Set::of("callbackCommand", command).apply(callback.request, callback.example)?.into(),
        };
        Ok(Webhook::new(command, self.changed(callback, body)?))
    }

    /// A body with what was to be set. Without that it need not even be text.
    fn changed(&self, callback: &'static Callback, body: Bytes) -> Result<Bytes, Error> {
        if self.set.is_empty() {
            return Ok(body);
        }
        let text = String::from_utf8(body.into());
        let text = text.map_err(|_| Error::Usage("--set: the body is not UTF-8".to_owned()))?;
        let changed = self.set.iter().try_fold(text, |text, set| set.apply(callback.request, &text));
        Ok(changed?.into())
    }

    async fn one(&self, poster: Poster, webhook: &Webhook) -> Result<Verdict, Error> {
        let reply = poster.post(webhook).await;
        let url = poster.url(&webhook.command);
        let outlooks = reply.as_ref().map(|reply| outlook(webhook, reply)).unwrap_or_default();
        // It takes colour off where there is no terminal, and where NO_COLOR is set.
        let mut out = anstream::stdout().lock();
        match &reply {
            Ok(reply) if self.json => trigger::report(&url, webhook, reply, &outlooks, &mut out)?,
            Err(_) if self.json => {}
            reply => trigger::print(&url, webhook, reply.as_ref().ok(), &outlooks, &mut out)?,
        }
        reply.map_err(io::Error::other)?;
        Ok(outlooks.first().map_or(Verdict::Told, |outlook| outlook.verdict))
    }

    /// Posts many; gives the worst verdict, none where replies are missing.
    async fn many(&self, poster: Poster, webhook: Webhook) -> io::Result<Option<Verdict>> {
        let (began, mut tally) = (Instant::now(), Tally::default());
        let progress = progress(self.count);
        let mut ticks = self.rate.map(|rate| interval(Duration::from_secs(1) / rate));
        if let Some(ticks) = &mut ticks {
            // Those that are due are posted, late as they are.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        }
        let most = if ticks.is_some() { MOST_WAITING } else { 1 };
        let (mut sent, mut stopped, mut waiting) = (0, false, JoinSet::new());
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        while sent < self.count || !waiting.is_empty() {
            let due = async {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
            };
            tokio::select! {
                () = due, if sent < self.count && waiting.len() < most => {
                    sent += 1;
                    // The first is the one that is remembered.
                    let webhook = if sent == 1 { webhook.clone() } else { webhook.of_another_operation() };
                    let poster = poster.clone();
                    waiting.spawn(async move { came_of(&poster, &webhook).await });
                }
                Some(Ok(came)) = waiting.join_next() => {
                    tally.add(&came);
                    progress.inc(1);
                    progress.set_message(tally.verdicts());
                }
                // What is known so far is told.
                _ = &mut interrupted => {
                    eprintln!("hookgate: interrupted; {sent} of {} were posted", self.count);
                    stopped = true;
                    break;
                }
            }
        }
        progress.finish_and_clear();
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", tally.report(began.elapsed()))?;
        } else {
            tally.lines(began.elapsed()).iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        Ok(tally.worst().filter(|_| !stopped && !tally.lacks_replies()))
    }
}

async fn came_of(poster: &Poster, webhook: &Webhook) -> Result<(Reply, Verdict), NoReply> {
    let reply = poster.post(webhook).await?;
    let newest = outlook(webhook, &reply).first().map_or(Verdict::Told, |outlook| outlook.verdict);
    Ok((reply, newest))
}

fn outlook(webhook: &Webhook, reply: &Reply) -> Vec<Outlook> {
    trigger::outlook(webhook.callback(), &webhook.body, &reply.body)
}

fn read(file: &Path) -> Result<Bytes, Error> {
    let mut body = Vec::new();
    let read =
        if file == Path::new("-") { io::stdin().lock().read_to_end(&mut body).map(|_| body) } else { fs::read(file) };
    Ok(read.map_err(|error| Error::Usage(format!("--body {}: {error}", file.display())))?.into())
}

/// Shown where a person looks.
fn progress(count: u64) -> ProgressBar {
    let target = if count >= MANY { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len}  {per_sec}  {msg}");
    ProgressBar::with_draw_target(Some(count), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
