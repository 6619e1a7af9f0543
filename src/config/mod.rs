//! The configuration: read from OpenIM's file, `hookgate.yaml`, variables and flags; validated; printed.
//!
//! - `settings`: every setting, declared once.
//! - `value`, `address`, `rules`: the kinds of values.
//! - `policies`, `routes`: the policy services, and those of them that are asked about a webhook.
//! - `load`: reads all sources in order: `file` over `yaml` (`hookgate.yaml`), `options` (flags and variables), `credentials`
//!   (the files that settings name), `openim` over `webhooks_yml` (OpenIM's file).
//! - `validate`: what is wrong, or probably not meant; `report`: one line for each finding.
//! - `access`, `nats_login`, `certificates`, `tls`, `tls_limits` (what rustls refuses): secrets and TLS.
//! - `print`, `differences`: a configuration as YAML, a file to start from, and what a reload changes and drops.

mod access;
mod address;
mod certificates;
mod credentials;
mod differences;
mod file;
mod load;
mod nats_login;
mod openim;
mod options;
mod policies;
mod print;
mod report;
mod routes;
mod rules;
mod settings;
mod tls;
mod tls_limits;
mod validate;
mod value;
mod webhooks_yml;
mod yaml;

use std::sync::Arc;

use tokio::sync::watch;

pub use access::{Passwords, Paths};
pub(crate) use address::host_and_port;
pub use address::{Address, PolicyUrl};
pub use certificates::{Certificates, Roots, days_until};
pub(crate) use differences::{differences, losses};
pub(crate) use file::text;
pub use load::{Loaded, TextOf};
pub use options::Options;
pub(crate) use policies::is_name as is_policy_name;
pub use policies::{NamedPolicy, settings as policy_settings};
pub use print::print;
pub(crate) use print::{init, list};
pub(crate) use report::nearest;
pub use report::{Finding, Origin, Report};
pub use routes::{Ask, Guard, Route, Routes, Shadow};
pub use rules::{Handling, Override, Rule, Rules};
pub use settings::{
    Access, After, Channel, Config, Decisions, DecisionsTo, Denial, Drain, Enabled, Limits, LogFormat, Nats, OpenIm,
    Order, PolicyTls, SyncRule, Tls, Traces, WhenFull,
};
pub use settings::{Setting, flag_name, general as all_settings, of_callback as callback_settings, variable};
pub use tls::{ClientCa, Identity, ServerTls};
pub(crate) use tls::{client_config, connector};
pub(crate) use tls_limits::handshake_failure;
pub(crate) use value::parse_time;
pub(crate) use webhooks_yml::LONGEST_TIMEOUT;

pub use crate::failure::Class;

/// A handle of the configuration in force. Clones see the same changes.
#[derive(Debug, Clone)]
pub struct ConfigHandle(watch::Receiver<Arc<Config>>);

impl ConfigHandle {
    /// Returns a handle, and the sender that replaces its configuration.
    pub fn changing(config: Config) -> (watch::Sender<Arc<Config>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(config));
        (sender, Self(receiver))
    }

    /// Returns the configuration now in force. Take two values from one result: the next may be of another configuration.
    pub fn now(&self) -> Arc<Config> {
        self.0.borrow().clone()
    }

    /// Waits for the next change and returns the newest configuration. Never ends if the sender is dropped.
    pub async fn changed(&mut self) -> Arc<Config> {
        match self.0.changed().await {
            Ok(()) => self.0.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl From<Config> for ConfigHandle {
    /// A handle of a configuration that never changes.
    fn from(config: Config) -> Self {
        Self::changing(config).1
    }
}
