//! The program's own log: `tracing` events as lines on standard error, of text or of JSON.

use std::io::{self, IsTerminal};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use super::sink::FileSink;
use super::writer::{NonBlocking, Options};
use crate::config::LogFormat;

/// Maximum bytes of lines that wait for a slow reader.
const CAPACITY: usize = 1 << 20;

/// The target of hookgate's own events, and the start of it.
const OWN: &str = "hookgate";

/// Maximum time that the end of the process waits for buffered lines.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The log. Logging never blocks; dropped lines are counted, and reported in their place. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    lines: NonBlocking,
    format: LogFormat,
    levels: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Writes a line that no level hides, after the lines so far: a phrase, and fields beside it.
    pub(crate) fn say(&self, level: Level, phrase: &str, fields: &[(&str, Value)]) {
        let line = match self.format {
            LogFormat::Text if fields.is_empty() => format!("{phrase}\n"),
            LogFormat::Text => {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name} {}", text(value))).collect();
                format!("{phrase}: {}\n", fields.join(" "))
            }
            LogFormat::Json => json_line(level, phrase, fields),
        };
        self.lines.push(line.into_bytes());
    }

    /// Writes a text for a person, after the lines so far, if standard error is a terminal and the log is text. It must end
    /// with a line feed.
    pub(crate) fn greet(&self, text: &str) {
        if self.format == LogFormat::Text && io::stderr().is_terminal() {
            self.lines.push(text.as_bytes().to_vec());
        }
    }

    /// Replaces the levels.
    pub(crate) fn set_levels(&self, levels: &Targets) -> Result<(), reload::Error> {
        self.levels.reload(filter(levels))
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

/// Starts the log on standard error: text in colour if that is a terminal and `NO_COLOR` is not set.
pub(crate) fn init(levels: &Targets, format: LogFormat) -> io::Result<Log> {
    let report = if format == LogFormat::Json { report_as_json } else { report };
    let options = Options { capacity: CAPACITY, report_interval: Duration::ZERO, report };
    let lines = NonBlocking::start("log", FileSink::inherited(io::stderr())?, options, Default::default())?;
    let (filter, levels) = reload::Layer::new(filter(levels));
    let log = Log { lines: lines.clone(), format, levels };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let layer = fmt::layer().with_writer(move || lines.clone());
    let layer = match format {
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal() && !no_color).with_target(false).boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).with_ansi(false).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
    Ok(log)
}

/// Returns the filter for configured levels: a level without a target is that of hookgate's own events, and other crates are
/// logged where they are named.
fn filter(levels: &Targets) -> Targets {
    let own = levels.default_level().unwrap_or(LevelFilter::OFF);
    Targets::new().with_target(OWN, own).with_targets(levels).with_default(LevelFilter::OFF)
}

/// Reports dropped lines among the others.
fn report(dropped: u64, error: Option<&io::Error>) -> Option<String> {
    Some(format!("hookgate: {dropped} log lines dropped here: {}\n", cause(error)))
}

fn report_as_json(dropped: u64, error: Option<&io::Error>) -> Option<String> {
    let fields = [("dropped", json!(dropped)), ("cause", json!(cause(error)))];
    Some(json_line(Level::WARN, "log lines dropped here", &fields))
}

fn cause(error: Option<&io::Error>) -> String {
    error.map_or_else(|| "standard error is read too slowly".to_owned(), ToString::to_string)
}

/// Formats a line as the JSON layer does.
fn json_line(level: Level, phrase: &str, fields: &[(&str, Value)]) -> String {
    let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let head = [("timestamp", json!(now)), ("level", json!(level.as_str())), ("message", json!(phrase))];
    let members = head.iter().chain(fields).cloned().chain([("target", json!(OWN))]);
    let line: Value = members.map(|(name, value)| (name.to_owned(), value)).collect();
    format!("{line}\n")
}
