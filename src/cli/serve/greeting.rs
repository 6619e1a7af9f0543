//! The lines that are printed when hookgate is ready.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{Level, warn};

use crate::app::App;
use crate::cli::callbacks;
use crate::config::Config;
use crate::contract::Callback;
use crate::observe::logging::Log;
use crate::observe::notify::{NotifyState, notify};
use crate::policy::health;

/// Maximum time to wait for the policy's first answer before hookgate is ready without one.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// Prints the addresses once the policy is ready, or the time for that is over: to a person at length, then in one fixed line
/// for programs that wait for it. Notifies the service manager too.
pub(super) fn greet(app: &App, config: &Config, log: Log) -> io::Result<impl Future<Output = ()> + use<>> {
    let webhooks = app.address()?.url(config.tls.server.is_some());
    let admin = app.admin_address()?.url(false);
    let is_named = !config.policies.is_empty();
    let policies = &app.sources().policies;
    let urls: Vec<_> = policies.iter().map(|of| (of.name.to_string(), of.channel.url().to_string())).collect();
    let builtin = config.policy.is_none() && !is_named;
    let mut health: Vec<_> = policies.iter().map(|of| of.health.clone()).collect();
    // Somebody is trying hookgate out: the built-in policy, and anybody may call.
    let is_tried_out = builtin && config.tls.server.is_none() && !config.asks_who_calls();
    let try_it = is_tried_out.then(|| format!("try it in another terminal: {}", trigger_command(&webhooks)));
    Ok(async move {
        let ready = async |health: &mut watch::Receiver<_>| health.wait_for(health::State::is_ready).await.is_ok();
        let all = join_all(health.iter_mut().map(ready));
        let answered = timeout(FIRST_ANSWER, all).await.is_ok();
        let callbacks = Callback::all().len();
        if builtin {
            warn!("no --policy: the built-in one allows everything");
        }
        if !answered {
            warn!("the policy has not answered yet; until it does, the failure rules decide");
        }
        let what = if builtin { "   built in: allows and logs everything" } else { "" };
        let lines = urls.iter().map(|(name, url)| match is_named {
            true => format!("  policy     {name}: {url}\n"),
            false => format!("  policy     {url}{what}\n"),
        });
        let lines: String = lines.collect();
        log.greet(&format!(
            "hookgate {}: OpenIM webhooks in, gRPC policy out\n\n\
             \x20 webhooks   {webhooks}   the url in OpenIM's webhooks.yml\n\
             {lines}\
             \x20 admin      {admin}   /livez /readyz /status /metrics\n\
             \x20 callbacks  {callbacks}   listed by: hookgate callbacks\n\n",
            env!("CARGO_PKG_VERSION")
        ));
        let fields = [
            ("webhooks", json!(webhooks)),
            match is_named {
                true => ("policies", urls.into_iter().collect()),
                false => ("policy", urls.into_iter().map(|(_, url)| url).collect::<String>().into()),
            },
            ("admin", json!(admin)),
            ("callbacks", json!(callbacks)),
        ];
        log.say(Level::INFO, "hookgate ready", &fields);
        notify(&[NotifyState::Ready]);
        if let Some(try_it) = try_it {
            log.say(Level::INFO, &try_it, &[]);
        }
    })
}

/// Returns a command for a shell that posts a webhook to this URL.
fn trigger_command(webhooks: &str) -> String {
    let program = std::env::args().next().unwrap_or_default();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+".contains(letter);
    let program = if program.chars().all(is_plain) { program } else { format!("'{}'", program.replace('\'', r"'\''")) };
    let is_default = webhooks == Config::default().listen.url(false);
    let to = if is_default { String::new() } else { format!(" --to {webhooks}") };
    format!("{program} trigger {}{to}", callbacks::example())
}
