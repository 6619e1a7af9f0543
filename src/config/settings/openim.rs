//! The use of OpenIM's own configuration.

use std::path::PathBuf;
use std::time::Duration;

use super::settings;
use crate::config::value::{boolean, path, time};

settings! {
    /// The use of OpenIM's own configuration.
    pub struct OpenIm("openim"), |builder| builder.openim;

    /// OpenIM's own webhooks.yml, whose timeouts become budgets.
    webhooks: Option<PathBuf> = None, path().optional(), flag("FILE");

    /// Time by which a reply leaves before OpenIM's timeout.
    margin: Duration = Duration::from_millis(500), time(), needs("openim.webhooks");

    /// True to take failedContinue: true in webhooks.yml as the rule allow of that callback.
    honour_failed_continue: bool = false, boolean(), needs("openim.webhooks");
}
