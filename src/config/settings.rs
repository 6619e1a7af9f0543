//! The settings, one row each: key, kind, place, words, and whether it is a flag and variable too. The defaults are
//! those of [`Config`](super::Config).

use std::sync::LazyLock;

use super::draft::{Draft, Own};
use super::rules::{RULE, RULES};
use super::value::{
    ADDRESS, CODE, COUNT, FILE, Kind, LOG, MAYBE_ADDRESS, MAYBE_TIME, POLICY, SENTENCE, SIZE, SWITCH, TIME,
    TIME_OR_NONE, TIMES,
};
use crate::error::Class;

/// A setting of a `D`.
pub struct Setting<D> {
    /// Its full path in the file: `limits.body`.
    pub path: String,
    /// What it is.
    pub words: String,
    /// Its kind of value for the help, where it is a flag and a variable too.
    pub everyday: Option<&'static str>,
    place: Box<dyn Place<D>>,
}

/// Every setting but those of single callbacks.
pub fn general() -> &'static [Setting<Draft>] {
    static SETTINGS: LazyLock<Vec<Setting<Draft>>> = LazyLock::new(all);
    &SETTINGS
}

/// The settings of a single callback.
pub fn of_callback() -> &'static [Setting<Own>] {
    static SETTINGS: LazyLock<Vec<Setting<Own>>> = LazyLock::new(own);
    &SETTINGS
}

fn all() -> Vec<Setting<Draft>> {
    let mut rows = vec![
        row("listen", ADDRESS, |d| &mut d.config.listen, "Where OpenIM posts its webhooks; port 0 takes a free one")
            .everyday("ADDRESS"),
        row("admin_listen", ADDRESS, |d| &mut d.config.admin_listen, "Where health and status are asked for")
            .everyday("ADDRESS"),
        row(
            "policy",
            POLICY,
            |d| &mut d.policy,
            "The policy service to ask, as in http://policy:50051. Without it a built-in policy allows and logs everything",
        )
        .everyday("URL"),
        row(
            "builtin_listen",
            MAYBE_ADDRESS,
            |d| &mut d.builtin_listen,
            "Where the built-in policy listens, when no other is asked; port 0 takes a free one",
        )
        .everyday("ADDRESS"),
        row(
            "threads",
            COUNT,
            |d| &mut d.config.threads,
            "How many threads answer webhooks. One carries tens of thousands of webhooks a second; with several, each costs a third more",
        )
        .everyday("COUNT"),
        row(
            "log",
            LOG,
            |d| &mut d.config.log,
            "What is logged: error, warn, info, debug or trace, or a list as in info,hookgate=debug",
        )
        .everyday("LEVELS"),
        row(
            "budget",
            TIME,
            |d| &mut d.config.every.budget,
            "The time from a webhook's arrival to its reply; less than the timeout that OpenIM is given",
        )
        .everyday("TIME"),
        row(
            "on_failure",
            RULES,
            |d| &mut d.rules,
            "What becomes of a Before callback without a verdict: deny or allow, or a list by class of failure as in \
             unavailable=allow,deadline=allow",
        )
        .everyday("RULE"),
        row("on_failure.default", RULE, |d| &mut d.rules.default, ""),
    ];
    for class in Class::ALL {
        rows.push(row(&format!("on_failure.{class}"), RULE, move |d| d.rules.class(class), ""));
    }
    rows.extend([
        row(
            "openim.webhooks",
            FILE,
            |d| &mut d.openim.webhooks,
            "OpenIM's own webhooks.yml, whose timeouts become budgets",
        )
        .everyday("FILE"),
        row(
            "openim.margin",
            TIME,
            |d| &mut d.openim.margin,
            "How much earlier than OpenIM's timeout the reply must leave",
        ),
        row(
            "openim.honour_failed_continue",
            SWITCH,
            |d| &mut d.openim.honour_failed_continue,
            "Whether failedContinue: true there makes allow the rule of that callback",
        ),
        row("denial.code", CODE, |d| &mut d.config.denial.code, "The code of a denial that has none of 100 or more"),
    ]);
    for class in Class::ALL {
        let words = format!("What the API client is told when the class of failure is {class}");
        let path = format!("denial.messages.{class}");
        rows.push(row(&path, SENTENCE, move |d| d.config.denial.messages.entry(class).or_default(), &words));
    }
    rows.extend([
        row("limits.body", SIZE, |d| &mut d.config.limits.body, "The largest body of a webhook"),
        row("limits.reply", SIZE, |d| &mut d.config.limits.reply, "The largest response of a policy"),
        row("limits.calls", COUNT, |d| &mut d.config.limits.calls, "Calls to the policy in flight"),
        row("limits.connections", COUNT, |d| &mut d.config.limits.connections, "Connections of webhook clients"),
        row(
            "channel.connect_timeout",
            TIME,
            |d| &mut d.config.channel.connect_timeout,
            "How long a connection to the policy may take to be made: name, TCP, TLS and HTTP/2",
        ),
        row(
            "channel.keep_alive",
            TIME,
            |d| &mut d.config.channel.keep_alive,
            "How long a connection may be silent before it is pinged",
        ),
        row(
            "channel.keep_alive_timeout",
            TIME,
            |d| &mut d.config.channel.keep_alive_timeout,
            "How long a ping may stay unanswered before the connection counts as dead",
        ),
        row(
            "channel.reconnect_max",
            TIME,
            |d| &mut d.config.channel.reconnect_max,
            "The longest pause between two attempts to connect",
        ),
        row(
            "channel.breaker_failures",
            TIMES,
            |d| &mut d.config.channel.breaker_failures,
            "How often in a row the policy must fail to be reached or to answer before it is left alone: not asked for a while, or only as soon as a connection can be made again",
        ),
        row(
            "channel.breaker_open",
            TIME,
            |d| &mut d.config.channel.breaker_open,
            "How long it is not asked then, before one call probes it",
        ),
        row(
            "channel.health_interval",
            TIME,
            |d| &mut d.config.channel.health_interval,
            "How often the policy's health is asked for",
        ),
        row(
            "after.answer_within",
            TIME_OR_NONE,
            |d| &mut d.config.after.answer_within,
            "How long the reply to an After callback waits for the policy's verdict",
        ),
        row("after.attempts", TIMES, |d| &mut d.config.after.attempts, "How often an After event is tried at most"),
        row("after.age", TIME, |d| &mut d.config.after.age, "How old an After event gets at most"),
        row(
            "after.retry_min",
            TIME,
            |d| &mut d.config.after.retry_min,
            "The pause before the second attempt; it doubles from there on",
        ),
        row("after.retry_max", TIME, |d| &mut d.config.after.retry_max, "The longest pause between two attempts"),
        row("after.events", COUNT, |d| &mut d.config.after.events, "How many After events are kept at most"),
        row("after.bytes", SIZE, |d| &mut d.config.after.bytes, "How many bytes of After events are kept at most"),
        row(
            "after.concurrency",
            COUNT,
            |d| &mut d.config.after.concurrency,
            "How many After events of one rpc are delivered at a time",
        ),
        row(
            "drain.delay",
            TIME_OR_NONE,
            |d| &mut d.config.drain.delay,
            "How long connections are still accepted after the signal to stop, until whoever routes here has noticed",
        ),
        row(
            "drain.time",
            TIME,
            |d| &mut d.config.drain.time,
            "How long what is in flight, and After events, may take from then on",
        ),
    ]);
    rows
}

fn own() -> Vec<Setting<Own>> {
    let mut rows = vec![
        own_row("budget", MAYBE_TIME, |own| &mut own.budget),
        own_row("on_failure", RULES, |own| &mut own.rules),
        own_row("on_failure.default", RULE, |own| &mut own.rules.default),
    ];
    for class in Class::ALL {
        rows.push(own_row(&format!("on_failure.{class}"), RULE, move |own| own.rules.class(class)));
    }
    rows
}

fn row<T: 'static>(
    path: &str,
    kind: Kind<T>,
    at: impl Fn(&mut Draft) -> &mut T + Send + Sync + 'static,
    words: &str,
) -> Setting<Draft> {
    Setting { path: path.to_owned(), words: words.to_owned(), everyday: None, place: Box::new(At { kind, at }) }
}

fn own_row<T: 'static>(
    path: &str,
    kind: Kind<T>,
    at: impl Fn(&mut Own) -> &mut T + Send + Sync + 'static,
) -> Setting<Own> {
    Setting { path: path.to_owned(), words: String::new(), everyday: None, place: Box::new(At { kind, at }) }
}

impl<D> Setting<D> {
    fn everyday(mut self, value: &'static str) -> Self {
        self.everyday = Some(value);
        self
    }

    /// Sets it from text, or says what is wrong with that.
    pub fn set(&self, of: &mut D, text: &str) -> Result<(), String> {
        self.place.set(of, text)
    }

    /// Its value as YAML, if it has one.
    pub fn show(&self, of: &mut D) -> Option<String> {
        self.place.show(of)
    }

    /// Its flag: `--openim-webhooks`.
    pub fn flag(&self) -> String {
        format!("--{}", self.path.replace(['.', '_'], "-"))
    }

    /// Its variable: `HOOKGATE_OPENIM_WEBHOOKS`.
    pub fn variable(&self) -> String {
        format!("HOOKGATE_{}", self.path.replace('.', "_").to_uppercase())
    }
}

/// Where a setting's value is, whatever its type.
trait Place<D>: Send + Sync {
    fn set(&self, of: &mut D, text: &str) -> Result<(), String>;
    fn show(&self, of: &mut D) -> Option<String>;
}

struct At<T, F> {
    kind: Kind<T>,
    at: F,
}

impl<D, T, F: Fn(&mut D) -> &mut T + Send + Sync> Place<D> for At<T, F> {
    fn set(&self, of: &mut D, text: &str) -> Result<(), String> {
        *(self.at)(of) = (self.kind.read)(text)?;
        Ok(())
    }

    fn show(&self, of: &mut D) -> Option<String> {
        (self.kind.show)((self.at)(of))
    }
}
