//! The policy service: connections and calls to it, OpenIM's own configuration, and denials.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::{Setting, settings};
use crate::config::Config;
use crate::config::value::{Kind, count32, number, path, time, time_or_zero};
use crate::failure::Class;

settings! {
    /// The use of OpenIM's own configuration.
    pub struct OpenIm("openim"), |config| config.openim;

    /// OpenIM's own webhooks.yml, whose timeouts become budgets.
    webhooks: Option<PathBuf> = None, path().optional(), value_name = "FILE";

    /// Time by which a reply leaves before OpenIM's timeout.
    margin: Duration = Duration::from_millis(500), time(), needs = "openim.webhooks";

    /// True to take failedContinue: true in webhooks.yml as the rule allow of that callback.
    honour_failed_continue: bool = false, Kind::plain("boolean", "true or false"), needs = "openim.webhooks";

    fields:
    /// The callbacks that the file enables; `None` if none was read.
    enables: Option<Enabled> = None;
}

/// The callbacks that OpenIM's webhooks.yml enables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enabled {
    /// The commands of the callbacks.
    pub commands: BTreeSet<&'static str>,
    /// The reasons why not all of it comes, by key.
    pub caveats: BTreeMap<&'static str, String>,
}

settings! {
    /// The code and messages of denials where the policy gave none.
    pub struct Denial("denial"), |config| config.denial;

    /// Error code of a denial whose own code is less than 100.
    code: i32 = 5000, number("error code", 100.., "a whole number of 100 or more: OpenIM replaces lower ones");

    fields:
    /// Message of a denial by failure class.
    messages: BTreeMap<Class, String> = Class::ALL.map(|class| (class, class.sentence().to_owned())).into();
}

settings! {
    /// Connections and calls to the policy service.
    pub struct Channel("channel"), |config| config.channel;

    /// Timeout for making a connection to the policy: name lookup, TCP, TLS and HTTP/2.
    connect_timeout: Duration = Duration::from_secs(2), time();

    /// Idle time of a connection before a ping is sent.
    keep_alive: Duration = Duration::from_secs(10), time();

    /// Time that a ping may stay unanswered before the connection is closed.
    keep_alive_timeout: Duration = Duration::from_secs(5), time();

    /// Longest pause between two attempts to connect while no address is connected; 5s while another one is.
    reconnect_max: Duration = Duration::from_millis(150), time();

    /// Interval of DNS lookups of the policy's name. New addresses get their share of the calls, addresses that have gone
    /// are drained. 0s: looked up only when a connection is lost or cannot be made, and on SIGHUP.
    resolve_interval: Duration = Duration::from_secs(5), time_or_zero();

    /// Number of calls of one rpc in a row without an answer that opens its circuit breaker: the rpc is not called for a
    /// while, other rpcs are. A policy that cannot be reached is called again as soon as it can be.
    breaker_failures: u32 = 20, count32();

    /// Time that a circuit breaker stays open before it lets one call through.
    breaker_open: Duration = Duration::from_secs(1), time();

    /// Interval of the health checks of each address of the policy.
    health_interval: Duration = Duration::from_secs(1), time();
}

/// Returns the setting of each class's message.
pub(super) fn denial_messages() -> Vec<Setting> {
    let row = |class: Class| {
        let help = format!("Message that the API client gets when the failure class is {class}.");
        let default = class.sentence().to_owned();
        Setting::new("denial.messages", class.as_str(), &help, message(), default, move |config: &mut Config| {
            config.denial.messages.entry(class).or_default()
        })
    };
    Class::ALL.map(row).into()
}

fn message() -> Kind<String> {
    Kind::quoted("text", |text| match text.trim() {
        "" => Err("must not be empty".to_owned()),
        _ => Ok(text.to_owned()),
    })
}
