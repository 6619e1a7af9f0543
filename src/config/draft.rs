//! A configuration while it is being read: what was said, and by whom, before it is known what that means together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::Uri;

use super::report::Origin;
use super::rules::Rules;
use super::{Config, PolicyService};

/// What was said so far, on top of the defaults.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What needs nothing else to be understood.
    pub config: Config,
    /// The policy service to ask, if not the built-in one.
    pub policy: Option<Uri>,
    /// Where the built-in one would listen.
    pub builtin_listen: Option<SocketAddr>,
    /// The rules of all callbacks.
    pub rules: Rules,
    /// What was said of single callbacks, by command.
    pub callbacks: BTreeMap<&'static str, Own>,
    /// What OpenIM's own configuration is good for.
    pub openim: OpenIm,
    /// Who said what, by the full path of its key.
    pub origins: BTreeMap<String, Origin>,
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
            config,
            policy,
            builtin_listen,
            openim,
        }
    }
}

impl Draft {
    /// Who said this key; nobody if it has its default.
    pub fn said(&self, path: &str) -> Option<&Origin> {
        self.origins.get(path)
    }
}
