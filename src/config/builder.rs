//! A configuration while its sources are read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Config;
use super::address::loopback;
use super::report::Origin;
use super::rules::Rules;
use super::settings::{self, AccessFiles, OpenIm, PolicyTlsFiles, TlsFiles, settings};
use super::url::{PolicyService, PolicyUrl, policy_url};
use super::value::socket_address;

settings! {
    /// The values that the sources gave so far, over the defaults; not yet checked against each other.
    pub struct Builder(""), |builder| builder;

    /// Policy service to ask, as in http://policy:50051, https://policy:50051 or unix:///run/policy.sock; builtin is one
    /// that allows and logs everything. With a configuration file it must be named, there or here. A reload changes one
    /// URL to another; between builtin and a URL it takes a restart.
    policy: Option<PolicyUrl> = None, policy_url(), flag("URL");

    /// Address of the built-in policy, when no other is asked; port 0 takes a free one.
    builtin_listen: Option<SocketAddr> = Some(loopback(50051)), socket_address().optional(), flag("ADDRESS"),
        needs_restart();

    fields:
    /// The configuration, with what needs no resolving.
    config: Config = Config::default();
    /// The failure rules of all callbacks.
    rules: Rules = Rules::default();
    /// The settings of single callbacks, by command.
    callbacks: BTreeMap<&'static str, CallbackSettings> = BTreeMap::new();
    /// The use of OpenIM's own configuration.
    openim: OpenIm = OpenIm::default();
    /// The sources of the settings that are not left to their defaults, by full path.
    origins: BTreeMap<String, Origin> = BTreeMap::new();
    /// The groups that the file turns off expressly, as in `access: none`.
    turned_off: Vec<&'static str> = Vec::new();
}

/// The settings of one callback.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallbackSettings {
    /// Its key in the file, today's or an older one.
    pub key: String,
    /// Its budget.
    pub budget: Option<Duration>,
    /// Its failure rules.
    pub rules: Rules,
}

/// The files that are read for their contents: certificates, keys and secrets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Files {
    /// Files of passwords and paths.
    pub access: AccessFiles,
    /// Files of TLS for webhook clients.
    pub tls: TlsFiles,
    /// Files of TLS to the policy.
    pub policy_tls: PolicyTlsFiles,
}

impl Builder {
    /// Replaces defaults by those for events on disk, if there is a directory for them.
    pub fn apply_disk_defaults(&mut self) {
        if self.config.data.is_none() {
            return;
        }
        for setting in settings::general() {
            if let (Some(default), None) = (setting.default_on_disk, self.origin(&setting.path)) {
                setting.set(self, default).expect("a default is a legal value");
            }
        }
    }

    /// Returns the source of a setting; `None` if it has its default.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.origins.get(path)
    }
}

impl From<&Config> for Builder {
    /// A builder with the values of a resolved configuration, to print them.
    fn from(config: &Config) -> Self {
        let (policy, builtin_listen) = match &config.policy {
            PolicyService::BuiltIn(address) => (None, Some(*address)),
            PolicyService::Url(url) => (Some(url.clone()), None),
        };
        let rules = config.every.on_failure.into();
        Self { policy, builtin_listen, rules, config: config.clone(), ..Self::default() }
    }
}
