//! `hookgate trigger`: posts webhooks as OpenIM would.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::signal::ctrl_c;
use tokio::time::{Instant, sleep_until};

use super::callbacks::callback_named;
use super::{Error, block_on, complain, examples, print_json, progress_bar, unless_closed};
use crate::client::{Client, ServerUrl};
use crate::config::Roots;
use crate::contract::Callback;
use crate::openim::Interpretation;
use crate::trigger::{self, Report, Set, Summary, Webhook};

/// Options of `hookgate trigger`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&[
    "hookgate trigger CALLBACK",
    "hookgate trigger CALLBACK --set ownerUserID=u7 --exit-code",
    "hookgate trigger CALLBACK --body webhook.json --to http://hookgate:10006",
    "hookgate trigger CALLBACK --count 1000 --rate 100",
    "hookgate trigger --repeat-last",
]))]
pub(super) struct Trigger {
    /// The callback: its key in OpenIM's webhooks.yml, its command or its rpc; hookgate callbacks lists them
    #[arg(required_unless_present = "repeat_last")]
    callback: Option<String>,

    /// Change a field of the body, by the contract's name or OpenIM's; repeatable
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<Set>,

    /// Post the content of this file (-: standard input) instead of an example
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// Value of url in OpenIM's webhooks.yml, with user and password if any; or a socket, as in unix:///run/hookgate.sock
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10006")]
    to: ServerUrl,

    /// Certificate authorities to trust for https:// (PEM), in place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Post N webhooks, each for an operation of its own, and print a summary
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// Post N webhooks a second, replies or not; by default each waits for the reply to the one before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,

    /// Post the last webhook once more, with its operation ID
    #[arg(long, conflicts_with_all = ["callback", "body"])]
    repeat_last: bool,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    /// Exit with 3 if the newest OpenIM that sends the callback would stop the operation, with 4 if it could not read the
    /// reply or would be harmed. Without it, and otherwise, exit with 1 if there is no reply, or one that no hookgate wrote
    #[arg(long)]
    exit_code: bool,
}

/// Maximum webhooks that wait for their replies, with `--rate`.
const MOST_IN_FLIGHT: usize = 1000;

impl Trigger {
    /// Posts the webhooks, prints the replies, and returns the exit code.
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let authorities = self.ca.as_deref().map(Roots::open).transpose();
        let authorities = authorities.map_err(|what| Error::Usage(format!("--ca: {what}")))?;
        let client = Client::new(self.to.clone(), authorities);
        let webhook = self.webhook()?;
        if let Err(error) = trigger::remember(&webhook) {
            complain(format_args!("hookgate: --repeat-last will not know this webhook: {error}"));
        }
        let (worst, is_of_hookgate) = block_on(async {
            if self.count == 1 { self.one(&client, &webhook).await } else { self.many(&client, &webhook).await }
        })??;
        Ok(match worst {
            Some(Interpretation::Denied) if self.exit_code => 3.into(),
            Some(Interpretation::Unreadable | Interpretation::Harmful) if self.exit_code => 4.into(),
            Some(_) if is_of_hookgate => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    fn webhook(&self) -> Result<Webhook, Error> {
        let Some(name) = &self.callback else {
            let last = trigger::recall().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::Usage("--repeat-last: nothing was posted yet".to_owned()),
                _ => Error::Usage(format!("--repeat-last: {error}")),
            })?;
            let body = self.changed(last.callback(), last.body.clone())?;
            return Ok(Webhook { body, ..last });
        };
        let callback = callback_named(name)?;
        // An older command has its own path.
        let command = if Callback::by_command(name).is_some() { name } else { callback.command };
        let body = match &self.body {
            Some(file) => read(file)?,
            None => Set::new("callbackCommand", command)
                .apply(callback.request, callback.example.as_bytes())
                .map_err(Error::Usage)?,
        };
        Ok(Webhook::new(command, self.changed(callback, body)?))
    }

    /// Applies `--set` to a body. Without `--set` the body need not even be text.
    fn changed(&self, callback: &'static Callback, body: Bytes) -> Result<Bytes, Error> {
        let changed = self.set.iter().try_fold(body, |body, set| set.apply(callback.request, &body));
        changed.map_err(|error| Error::Usage(format!("--set: {error}")))
    }

    /// Posts one. Returns the reading of the reply, and true if a hookgate wrote it.
    async fn one(&self, client: &Client, webhook: &Webhook) -> io::Result<(Option<Interpretation>, bool)> {
        let reply = webhook.post(client).await;
        let url = self.to.display(&format!("/{}", webhook.command));
        unless_closed(match &reply {
            Ok(reply) if self.json => print_json(&Report::new(&url, webhook, reply)?),
            Err(_) if self.json => Ok(()),
            // anstream strips colour where there is no terminal, and with NO_COLOR.
            reply => trigger::print(&url, webhook, reply.as_ref().ok(), &mut anstream::stdout().lock()),
        })?;
        let reply = reply?;
        Ok((Some(reply.verdict()), reply.is_of_hookgate()))
    }

    /// Posts many. Returns the worst reading of a reply, none if replies are missing, and true if a hookgate wrote each.
    async fn many(&self, client: &Client, webhook: &Webhook) -> io::Result<(Option<Interpretation>, bool)> {
        let (began, mut summary) = (Instant::now(), Summary::default());
        let progress = progress_bar(self.count as usize, "{bar:32} {pos}/{len}  {per_sec}  {msg}");
        let posts = stream::iter(0..self.count).map(|number| async move {
            if let Some(rate) = self.rate {
                // Late ones are posted in a burst.
                sleep_until(began + Duration::from_secs_f64(number as f64 / f64::from(rate))).await;
            }
            // The first is the one that --repeat-last posts again.
            let other = Webhook::new(&webhook.command, webhook.body.clone());
            if number == 0 { webhook } else { &other }.post(client).await
        });
        let in_flight = if self.rate.is_some() { MOST_IN_FLIGHT } else { 1 };
        let mut results = pin!(posts.buffer_unordered(in_flight).take_until(ctrl_c()));
        while let Some(result) = results.next().await {
            summary.add(result);
            progress.inc(1);
            progress.set_message(summary.verdicts());
        }
        progress.finish_and_clear();
        unless_closed(match self.json {
            true => print_json(&summary.json(began.elapsed())),
            false => summary.print(began.elapsed(), &mut anstream::stdout().lock()),
        })?;
        if summary.count() < self.count {
            complain(format_args!("hookgate: interrupted after {} of {}", summary.count(), self.count));
            return Ok((None, true));
        }
        Ok((summary.worst(), summary.is_of_hookgate()))
    }
}

fn read(file: &Path) -> Result<Bytes, Error> {
    let mut body = Vec::new();
    let read = match file.to_str() {
        Some("-") => io::stdin().lock().read_to_end(&mut body).map(|_| body),
        _ => fs::read(file),
    };
    Ok(read.map_err(|error| Error::Usage(format!("--body {}: {error}", file.display())))?.into())
}
