//! The program's own log: `tracing` events as lines on standard error.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::sink::FileSink;
use super::writer::{NonBlocking, Options};

/// For a slow reader.
const OPTIONS: Options = Options { capacity: 1 << 20, report_interval: Duration::ZERO, report };

/// Maximum time that the end of the process waits for buffered lines.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The log. Logging never blocks; dropped lines are counted, and reported in their place. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    lines: NonBlocking,
    /// Replaces the filter of levels.
    pub(crate) levels: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Writes a text as it is, after the lines so far. It must end with a line feed.
    pub(crate) fn say(&self, text: &str) {
        self.lines.push(text.as_bytes().to_vec());
    }

    /// Waits until all lines are written, half a second at most. For the end of the process.
    pub(crate) fn flush(&self) {
        self.lines.flush(FLUSH_TIMEOUT);
    }
}

/// Flushes a log when dropped.
#[derive(Debug)]
pub(crate) struct FlushedAtEnd(pub Log);

impl Drop for FlushedAtEnd {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Logs a panic's location and not its message, which can quote a webhook's content.
pub(crate) fn panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// Starts the log on standard error, in colour if that is a terminal and `NO_COLOR` is not set.
pub(crate) fn init(filter: Targets) -> io::Result<Log> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = NonBlocking::start("log", FileSink::inherited(io::stderr())?, OPTIONS, Default::default())?;
    let (filter, levels) = reload::Layer::new(filter);
    let log = Log { lines: lines.clone(), levels };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(move || lines.clone())
        .with_ansi(io::stderr().is_terminal() && !no_color)
        .with_target(false);
    tracing_subscriber::registry().with(filter).with(layer).init();
    Ok(log)
}

/// Reports dropped lines among the others.
fn report(dropped: u64, error: Option<&io::Error>) -> Option<String> {
    let cause = error.map_or_else(|| "standard error is read too slowly".to_owned(), ToString::to_string);
    Some(format!("hookgate: {dropped} log lines dropped here: {cause}\n"))
}
