//! The lines that are printed when hookgate is ready.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use crate::app::App;
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
    let policy = app.sources().channel.url().to_string();
    let builtin = config.policy.is_none();
    let mut health = app.sources().health.clone();
    Ok(async move {
        let answered = timeout(FIRST_ANSWER, health.wait_for(health::State::is_ready)).await.is_ok();
        let callbacks = Callback::all().len();
        let mut lines = String::new();
        if io::stderr().is_terminal() {
            let what = if builtin { "   built in: allows and logs everything" } else { "" };
            lines = format!(
                "hookgate {}: OpenIM webhooks in, gRPC policy out\n\n\
                 \x20 webhooks   {webhooks}   the url in OpenIM's webhooks.yml\n\
                 \x20 policy     {policy}{what}\n\
                 \x20 admin      {admin}   /livez /readyz /status /metrics\n\
                 \x20 callbacks  {callbacks}   listed by: hookgate callbacks\n\n",
                env!("CARGO_PKG_VERSION")
            );
        }
        if builtin {
            warn!("no --policy: the built-in one allows everything");
        }
        if !answered {
            warn!("the policy has not answered yet; until it does, the failure rules decide");
        }
        lines += &format!("hookgate ready: webhooks {webhooks} policy {policy} admin {admin} callbacks {callbacks}\n");
        log.say(&lines);
        notify(&[NotifyState::Ready]);
    })
}
