//! A configuration while it is being read: what was said, and by whom, before it is known what that means together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::report::Origin;
use super::rules::Rules;
use super::{After, Config, DecisionsTo, PolicyService, PolicyUrl};

/// What was said so far, on top of the defaults.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What needs nothing else to be understood.
    pub config: Config,
    /// The policy service to ask, if not the built-in one.
    pub policy: Option<PolicyUrl>,
    /// Where the built-in one would listen.
    pub builtin_listen: Option<SocketAddr>,
    /// The rules of all callbacks.
    pub rules: Rules,
    /// What was said of single callbacks, by command.
    pub callbacks: BTreeMap<&'static str, Own>,
    /// What OpenIM's own configuration is good for.
    pub openim: OpenIm,
    /// The files that are read for what stands in them.
    pub files: Files,
    /// Who said what, by the full path of its key.
    pub origins: BTreeMap<String, Origin>,
    /// The groups that the file turns off expressly, as in `access: none`.
    pub turned_off: Vec<&'static str>,
}

/// What was said of one callback.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// The config key by which it was called.
    pub key: String,
    /// Its budget.
    pub budget: Option<Duration>,
    /// Its rules.
    pub rules: Rules,
}

/// What OpenIM's own configuration is good for.
#[derive(Debug, Clone)]
pub struct OpenIm {
    /// Its file.
    pub webhooks: Option<PathBuf>,
    /// How much earlier than OpenIM's timeout the reply must leave.
    pub margin: Duration,
    /// Whether `failedContinue` counts.
    pub honour_failed_continue: bool,
}

/// The files that are read for what stands in them: certificates, keys and secrets.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The users and passwords.
    pub passwords: Option<PathBuf>,
    /// The secret paths.
    pub paths: Option<PathBuf>,
    /// The certificate for those who post webhooks.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Whose certificates callers must show.
    pub client_ca: Option<PathBuf>,
    /// Whose certificate the policy must show.
    pub policy_ca: Option<PathBuf>,
    /// The certificate for the policy.
    pub policy_certificate: Option<PathBuf>,
    /// Its key.
    pub policy_key: Option<PathBuf>,
}

impl Files {
    /// Every file that was named.
    fn named(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Self { passwords, paths, certificate, key, client_ca, policy_ca, policy_certificate, policy_key } = self;
        let all = [passwords, paths, certificate, key, client_ca, policy_ca, policy_certificate, policy_key];
        all.into_iter().flatten()
    }
}

impl From<&Config> for Files {
    fn from(config: &Config) -> Self {
        let (tls, policy_tls) = (config.tls.as_ref(), &config.policy_tls);
        let identity = policy_tls.identity.as_ref();
        let client_ca = tls.and_then(|tls| tls.client_ca.as_ref());
        Self {
            passwords: config.access.passwords.as_ref().map(|passwords| passwords.file().to_owned()),
            paths: config.access.paths.as_ref().map(|paths| paths.file().to_owned()),
            certificate: tls.map(|tls| tls.identity.certificates.file().to_owned()),
            key: tls.map(|tls| tls.identity.key.clone()),
            client_ca: client_ca.map(|ca| ca.certificates.file().to_owned()),
            policy_ca: policy_tls.ca.as_ref().map(|ca| ca.certificates.file().to_owned()),
            policy_certificate: identity.map(|identity| identity.certificates.file().to_owned()),
            policy_key: identity.map(|identity| identity.key.clone()),
        }
    }
}

impl From<Config> for Draft {
    fn from(config: Config) -> Self {
        let openim = OpenIm { webhooks: None, margin: Duration::from_millis(500), honour_failed_continue: false };
        let (policy, builtin_listen) = match &config.policy {
            PolicyService::BuiltIn(address) => (None, Some(*address)),
            PolicyService::Url(url) => (Some(url.clone()), None),
        };
        Self {
            rules: Rules::default(),
            callbacks: BTreeMap::new(),
            origins: BTreeMap::new(),
            turned_off: Vec::new(),
            files: Files::from(&config),
            config,
            policy,
            builtin_listen,
            openim,
        }
    }
}

impl Draft {
    /// What was settled, as what might have been said; but for the callbacks', whose handling nothing general shows.
    pub fn of_settled(config: &Config) -> Self {
        Self { rules: config.every.on_failure.into(), ..Self::from(config.clone()) }
    }

    /// Every path that was named, of a file or a directory.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let decisions = match &mut self.config.decisions.to {
            Some(DecisionsTo::File(file)) => Some(file),
            Some(DecisionsTo::Stdout) | None => None,
        };
        self.files.named().chain(&mut self.openim.webhooks).chain(&mut self.config.data).chain(decisions)
    }

    /// Gives what nobody has said the default that goes with what was said: with a disk, After events have more time and
    /// room.
    pub fn fill_in(&mut self) {
        if self.config.data.is_none() {
            return;
        }
        let (on_disk, said) = (After::on_disk(), |path: &str| self.origins.contains_key(path));
        let after = &mut self.config.after;
        if !said("after.attempts") {
            after.attempts = on_disk.attempts;
        }
        if !said("after.age") {
            after.age = on_disk.age;
        }
        if !said("after.retry_max") {
            after.retry_max = on_disk.retry_max;
        }
        if !said("after.events") {
            after.events = on_disk.events;
        }
        if !said("after.bytes") {
            after.bytes = on_disk.bytes;
        }
    }

    /// Who said this key; nobody if it has its default.
    pub fn said(&self, path: &str) -> Option<&Origin> {
        self.origins.get(path)
    }
}
