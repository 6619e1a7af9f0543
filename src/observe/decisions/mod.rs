//! The decision log: a JSON line for each verdict, for operators who must say later who was refused what, and why.
//!
//! A line has the IDs of users and groups and never content, unless the operator asks for a field by its name. No verdict
//! waits for it: see [`writer`](crate::observe::writer).
//!
//! - `fields`: the fields of a request that a line shows.
//! - `line`: a verdict as a line.

mod fields;
mod line;

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tracing::warn;

use crate::config::{self, DecisionsTo};
use crate::contract::Callback;
use crate::observe::sink::FileSink;
use crate::observe::writer::{Counts, NonBlocking, Options};
use fields::Shown;
pub(crate) use line::{Decided, PolicyPart, ShadowLine, Side};

/// For a slow disk or reader.
const OPTIONS: Options = Options { capacity: 8 << 20, report_interval: Duration::from_secs(10), report };

/// The decision log. Clones share it; the default is off until [`change`](Self::change) turns it on.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    open: Arc<RwLock<Option<Arc<Open>>>>,
    counts: Arc<Counts>,
    /// The policy whose events it is about, if it has a name.
    policy: Option<Arc<str>>,
}

/// A decision log that is on.
#[derive(Debug)]
struct Open {
    settings: config::Decisions,
    lines: NonBlocking,
    /// By the callback's place in the table, the fallback's last.
    shown: Vec<Shown>,
}

impl Decisions {
    /// Checks that the decision log could be opened. Leaves no new file behind.
    pub fn check(settings: &config::Decisions) -> io::Result<()> {
        let Some(DecisionsTo::File(path)) = &settings.to else { return Ok(()) };
        let is_new = !path.exists();
        FileSink::append_to(path)?;
        if is_new { fs::remove_file(path) } else { Ok(()) }
    }

    /// Applies other settings, or changes nothing if they fail: the error says what cannot be written. Queued lines still go
    /// to the sink that they were meant for.
    pub fn change(&self, settings: &config::Decisions) -> io::Result<()> {
        let before = self.now();
        if before.as_ref().map(|open| &open.settings) == Some(settings) {
            return Ok(());
        }
        let open = match &settings.to {
            None => None,
            Some(to) => {
                let lines = match before.filter(|open| open.settings.to.as_ref() == Some(to)) {
                    Some(open) => open.lines.clone(),
                    None => start(to, self.counts.clone())?,
                };
                let rows = Callback::all().iter().chain([Callback::fallback()]);
                let shown = rows.map(|callback| Shown::of(callback, &settings.fields)).collect();
                Some(Arc::new(Open { settings: settings.clone(), lines, shown }))
            }
        };
        *self.open.write() = open;
        Ok(())
    }

    /// Returns the same log, for lines about the events of a named policy.
    pub(crate) fn of_policy(&self, name: Arc<str>) -> Self {
        Self { policy: Some(name), ..self.clone() }
    }

    /// Blocks until all queued lines are written, at most for `timeout`. Returns true if they are.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.now().is_none_or(|open| open.lines.flush(timeout))
    }

    /// Returns true if it is on.
    pub fn is_on(&self) -> bool {
        self.open.read().is_some()
    }

    /// Returns the counters of lines since the start of the process.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Writes a line about a verdict, unless the log is off or the verdict is an allow outside of the sample.
    pub(crate) fn write<'a>(&'a self, mut decided: Decided<'a>) {
        let Some(open) = self.now() else { return };
        if let Some(policy) = &self.policy {
            decided.policy = policy;
        }
        if decided.is_plain() && !decided.is_sampled(open.settings.allows) {
            return;
        }
        open.lines.push(decided.line(&open.shown[decided.callback.index]));
    }

    fn now(&self) -> Option<Arc<Open>> {
        self.open.read().clone()
    }
}

fn start(to: &DecisionsTo, counts: Arc<Counts>) -> io::Result<NonBlocking> {
    let sink = match to {
        DecisionsTo::Stdout => FileSink::inherited(io::stdout())?,
        DecisionsTo::File(path) => FileSink::append_to(path)?,
    };
    NonBlocking::start("decisions", sink, OPTIONS, counts)
}

/// Logs dropped lines: a reader of decisions expects nothing else among them.
fn report(dropped: u64, error: Option<&io::Error>) -> Option<String> {
    let cause = error.map_or_else(|| "the reader is too slow".to_owned(), ToString::to_string);
    warn!(dropped, cause, "decision log lines dropped");
    None
}
