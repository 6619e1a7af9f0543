//! Logs, set up once.

use std::io::{self, IsTerminal};

use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Says where a panic was, and not what it says: that can quote a webhook's content.
pub fn panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// What is logged, which can change.
#[derive(Debug)]
pub struct Levels(reload::Handle<Targets, Registry>);

impl Levels {
    /// From now on these.
    pub fn set(&self, filter: Targets) -> Result<(), reload::Error> {
        self.0.reload(filter)
    }
}

/// Writes log lines to standard error, in colour where a person looks and has not set `NO_COLOR`.
pub fn init(filter: Targets) -> Levels {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_color)
        .with_target(false);
    let (filter, levels) = reload::Layer::new(filter);
    tracing_subscriber::registry().with(filter).with(lines).init();
    Levels(levels)
}
