//! Named policies: the services that routes name, each with settings of its own.
//!
//! - `read`: policies from the file, with all mistakes.

mod read;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use http::{HeaderName, HeaderValue};

use super::address::policy_url;
use super::settings::{After, Channel, PolicyTls, Setting};
use super::value::{Kind, count, fraction, size};
use super::{Config, PolicyUrl, Rule, Rules, rules};
use crate::contract::Callback;
use crate::failure::Class;

pub(super) use read::read;

/// The name of the policy that the setting `policy` names.
pub(crate) const ONLY: &str = "policy";

/// Maximum length of a name, which is part of a directory's and of a stream's name.
const LONGEST_NAME: usize = 32;

/// Returns true if a policy can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(is_letter)
}

/// A policy service, with its settings. What the file does not set is the value of the top level.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedPolicy {
    /// Its name, by which routes, metrics and logs call it.
    pub name: Arc<str>,
    /// Its URL; `None` for the built-in policy.
    pub url: Option<PolicyUrl>,
    /// True if it may deny, and change nothing.
    pub observe: bool,
    /// The part of a webhook's budget that a call to it may take: above 0, and up to 1.
    pub share: f64,
    /// Maximum size of its responses, in bytes.
    pub reply: usize,
    /// Maximum number of calls to it in flight.
    pub calls: usize,
    /// Its failure rules. A callback's own rules and the contract's come before them.
    pub on_failure: Rules,
    /// TLS to it.
    pub tls: PolicyTls,
    /// Connections to it.
    pub channel: Channel,
    /// The files of its metadata, by the name of the entry.
    pub metadata_files: Vec<(String, PathBuf)>,
    /// The metadata that each call to it carries besides hookgate's own.
    pub metadata: Arc<[(HeaderName, HeaderValue)]>,
}

impl NamedPolicy {
    /// A policy with the settings of the top level.
    fn inheriting(name: &str, config: &Config) -> Self {
        Self {
            name: name.into(),
            url: None,
            observe: false,
            share: 1.0,
            reply: config.limits.reply,
            calls: config.limits.calls,
            on_failure: Rules::default(),
            tls: PolicyTls::default(),
            channel: config.channel.clone(),
            metadata_files: Vec::new(),
            metadata: [].into(),
        }
    }

    /// Returns the directory of the After events on their way to it, if they are on disk: one below that of `policy`, so that a
    /// policy of that name goes on with the events of a configuration without named ones.
    pub(crate) fn data(&self, config: &Config) -> Option<PathBuf> {
        let data = config.data.as_ref()?;
        Some(if *self.name == *ONLY { data.clone() } else { data.join(&*self.name) })
    }

    /// Returns the settings of the After events on their way to it: on a cluster it has streams of its own.
    pub(crate) fn after(&self, config: &Config) -> After {
        let mut after = config.after.clone();
        if *self.name != *ONLY {
            after.nats.name = format!("{}-{}", after.nats.name, self.name);
        }
        after
    }

    /// Returns the names of its streams on a cluster.
    pub(super) fn streams(&self, config: &Config) -> [String; 3] {
        let name = self.after(config).nats.name;
        ["", "-later", "-dead"].map(|end| format!("{name}{end}"))
    }

    /// Returns the settings that differ from those of the top level, with their values as YAML.
    pub(super) fn own_settings(&self, config: &Config) -> Vec<(&'static Setting<Self>, String)> {
        let (mut own, mut inherited) = (self.clone(), Self::inheriting(&self.name, config));
        // Rules by class are part of on_failure.
        let settings = settings().iter().filter(|setting| !setting.path.starts_with("on_failure."));
        let differing = settings.filter_map(|setting| {
            let value = (setting.print)(&mut own)?;
            let differs = setting.path == "url" || Some(&value) != (setting.print)(&mut inherited).as_ref();
            differs.then_some((setting, value))
        });
        differing.collect()
    }
}

/// Returns the settings of a named policy.
pub fn settings() -> &'static [Setting<NamedPolicy>] {
    static SETTINGS: LazyLock<Vec<Setting<NamedPolicy>>> = LazyLock::new(|| {
        let url = "URL of the service, as for policy; builtin is the one that allows and logs everything.";
        let observe = "True for a policy that may deny and changes nothing: a change of it is an invalid reply.";
        let share = "Part of a webhook's budget that a call to this policy may take, as in 0.4; above 0.";
        let reply = "Maximum size of a response of this policy. Left out: limits.reply.";
        let calls = "Maximum number of calls to this policy in flight about Before callbacks. Left out: limits.calls.";
        let rules_help = "Reply to a Before callback without a verdict of this policy. Rules of the callback, and the \
                          contract's for callbacks whose denial damages OpenIM's data, come first. Left out: on_failure.";
        let boolean = Kind::plain("boolean", "true or false");
        let above_zero = Kind { read: Box::new(|text| positive(fraction().read.as_ref(), text)), ..fraction() };
        let first = vec![
            Setting::new("", "url", url, policy_url(), None, |policy: &mut NamedPolicy| &mut policy.url),
            Setting::new("", "observe", observe, boolean, false, |policy: &mut NamedPolicy| &mut policy.observe),
            Setting::new("", "share", share, above_zero, 1.0, |policy: &mut NamedPolicy| &mut policy.share),
            Setting::new("", "reply", reply, size(), 8 << 20, |policy: &mut NamedPolicy| &mut policy.reply),
            Setting::new("", "calls", calls, count(), 1_000, |policy: &mut NamedPolicy| &mut policy.calls),
        ];
        let rules = rules::settings(rules_help, Rules::print, |policy: &mut NamedPolicy| &mut policy.on_failure);
        let tls = PolicyTls::settings_of("tls", |policy: &mut NamedPolicy| &mut policy.tls);
        let channel = Channel::settings_of("channel", |policy: &mut NamedPolicy| &mut policy.channel);
        first.into_iter().chain(rules).chain(tls).chain(channel).collect()
    });
    &SETTINGS
}

fn positive(read: &dyn Fn(&str) -> Result<f64, String>, text: &str) -> Result<f64, String> {
    match read(text)? {
        0.0 => Err("must be above 0".to_owned()),
        share => Ok(share),
    }
}

impl Config {
    /// Returns the policies, in the order of the file: the named ones, or the one of the setting `policy`.
    pub fn policies(&self) -> Cow<'_, [NamedPolicy]> {
        if !self.policies.is_empty() {
            return Cow::Borrowed(&self.policies);
        }
        let only = NamedPolicy::inheriting(ONLY, self);
        Cow::Owned(vec![NamedPolicy { url: self.policy.clone(), tls: self.policy_tls.clone(), ..only }])
    }

    /// Returns true if a policy decides about something: it stands in a route, and not as a shadow alone, or there are no
    /// routes.
    pub(crate) fn decides(&self, policy: usize) -> bool {
        let routes = self.routes.all();
        self.policies.len() < 2 || routes.is_empty() || routes.iter().any(|route| route.policies.contains(&policy))
    }

    /// Returns true if one of the policies is the built-in one.
    pub(crate) fn asks_builtin(&self) -> bool {
        self.policies().iter().any(|policy| policy.url.is_none())
    }

    /// Returns the failure rules of a callback for a policy: the callback's own, the contract's, the policy's, those of all.
    /// Without a policy those of all callbacks stand in place of its own.
    pub fn rules_for(&self, callback: &Callback, policy: Option<usize>) -> Rules {
        let named = policy.and_then(|policy| self.policies.get(policy));
        let of_policy = match named {
            _ if callback.fails_open => Rules::all(Rule::Allow),
            Some(named) => named.on_failure.over(self.on_failure),
            None => self.on_failure,
        };
        self.callbacks.get(callback.command).map(|own| own.on_failure).unwrap_or_default().over(of_policy)
    }

    /// Returns the setting that holds a callback's failure rule for a class of failures of a policy:
    /// `callbacks.NAME.on_failure`, `policies.NAME.on_failure` or `on_failure`; `contract` if the callback fails open by contract.
    pub(crate) fn failure_setting(
        &self,
        callback: &Callback,
        policy: Option<usize>,
        class: Class,
    ) -> Cow<'static, str> {
        let named = policy.and_then(|policy| self.policies.get(policy));
        match (self.callbacks.get(callback.command), named) {
            (Some(own), _) if own.on_failure.has(class) => {
                format!("callbacks.{}.on_failure", callback.config_key).into()
            }
            _ if callback.fails_open => "contract".into(),
            (_, Some(named)) if named.on_failure.has(class) => format!("policies.{}.on_failure", named.name).into(),
            _ => "on_failure".into(),
        }
    }
}
