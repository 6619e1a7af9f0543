//! Logs, set up once.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::observe::lines::{Counts, Lines, Target};

/// How many bytes of the log may wait for whoever reads it.
const ROOM: usize = 1 << 20;

/// How long the end waits for them.
const PATIENCE: Duration = Duration::from_millis(500);

/// The program's own log, on standard error. Nobody waits for it: where whoever reads it is too slow, lines are left out,
/// counted, and told of. Its clones are one.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Lines,
    counts: Arc<Counts>,
    levels: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Says something as it is, in line with the rest of the log. It ends with a line feed.
    pub fn say(&self, text: &str) {
        self.lines.push(text.as_bytes());
    }

    /// From now on this is logged.
    pub fn set_levels(&self, filter: Targets) -> Result<(), reload::Error> {
        self.levels.reload(filter)
    }

    /// How many lines were left out so far.
    pub fn left_out(&self) -> u64 {
        self.counts.left_out()
    }

    /// Waits until everything is written, but not for long. For the end of the process.
    pub fn flush(&self) {
        self.lines.flush(PATIENCE);
    }
}

/// Flushes a log when it goes, however that comes about.
#[derive(Debug)]
pub struct FlushedAtEnd(pub Log);

impl Drop for FlushedAtEnd {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Says where a panic was, and not what it says: that can quote a webhook's content.
pub fn panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// Writes log lines to standard error, in colour where a person looks and has not set `NO_COLOR`.
pub fn init(filter: Targets) -> io::Result<Log> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    // Not the library's own, which one thread at a time may hold: this one can be held up for good.
    let stderr = StandardError { file: File::from(io::stderr().as_fd().try_clone_to_owned()?), untold: 0 };
    let counts = Arc::new(Counts::default());
    let lines = Lines::to("log", stderr, ROOM, counts.clone())?;
    let (filter, levels) = reload::Layer::new(filter);
    let log = Log { lines: lines.clone(), counts, levels };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(move || lines.clone())
        .with_ansi(io::stderr().is_terminal() && !no_color)
        .with_target(false);
    tracing_subscriber::registry().with(filter).with(layer).init();
    Ok(log)
}

struct StandardError {
    file: File,
    /// Lines that are missing without a word about it.
    untold: u64,
}

impl Write for StandardError {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.file.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target for StandardError {
    fn left_out(&mut self, lines: u64, why: Option<&io::Error>) -> Option<String> {
        self.untold += lines;
        let told = why.is_none().then(|| std::mem::take(&mut self.untold))?;
        Some(format!("hookgate: {told} lines of the log are left out here: standard error is read too slowly\n"))
    }
}
