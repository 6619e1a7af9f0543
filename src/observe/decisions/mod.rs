//! The decision log: one JSON line a verdict, for those who must be able to say later who was refused what, and why.
//!
//! It is the operator's own file. It has the IDs of users and groups and never content, unless a field is asked for by its
//! name. No verdict waits for it: see [`lines`](crate::observe::lines).
//!
//! - `fields`: which fields of a request a line shows.
//! - `line`: a verdict as a line.
//! - `place`: where the lines go.

mod fields;
mod line;
mod place;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::config;
use crate::contract::Callback;
use crate::observe::lines::{Counts, Lines};
use fields::Shown;
pub(crate) use line::{Decided, Late};
use place::Place;

/// How many bytes of lines may wait for a disk or a pipe.
const ROOM: usize = 8 << 20;

/// The decision log, which may be off. Its clones are one.
#[derive(Debug, Clone, Default)]
pub struct Decisions(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    open: RwLock<Option<Arc<Open>>>,
    counts: Arc<Counts>,
}

/// One that is on.
#[derive(Debug)]
struct Open {
    settings: config::Decisions,
    lines: Lines,
    /// For each row of the table, and the fallback's.
    shown: Vec<Shown>,
}

impl Decisions {
    /// One that is off until it is told otherwise.
    pub fn off() -> Self {
        Self::default()
    }

    /// One as it is configured. The error says what cannot be written.
    pub fn open(settings: &config::Decisions) -> io::Result<Self> {
        let decisions = Self::off();
        decisions.change(settings)?;
        Ok(decisions)
    }

    /// Says whether one could be opened, and leaves nothing behind.
    pub fn check(settings: &config::Decisions) -> io::Result<()> {
        match &settings.to {
            Some(config::DecisionsTo::File(path)) => place::check(path),
            Some(config::DecisionsTo::Stdout) | None => Ok(()),
        }
    }

    /// Goes on with other settings. Where those cannot be followed all stays as it was. What waits is written to where it
    /// was to go.
    pub fn change(&self, settings: &config::Decisions) -> io::Result<()> {
        let before = self.now();
        if before.as_ref().map(|open| &open.settings) == Some(settings) {
            return Ok(());
        }
        let open = match (&settings.to, before) {
            (None, _) => None,
            (Some(to), before) => {
                let same = before.filter(|open| open.settings.to.as_ref() == Some(to));
                let lines = match same {
                    Some(open) => open.lines.clone(),
                    None => Lines::to("decisions", Place::open(to)?, ROOM, self.0.counts.clone())?,
                };
                let rows = Callback::all().iter().chain([Callback::fallback()]);
                let shown = rows.map(|callback| Shown::of(callback, &settings.fields)).collect();
                Some(Arc::new(Open { settings: settings.clone(), lines, shown }))
            }
        };
        *self.0.open.write().unwrap_or_else(PoisonError::into_inner) = open;
        Ok(())
    }

    /// Opens the file again by its name, for what moves files away. A file that was moved is noticed without it too,
    /// within a second.
    pub fn reopen(&self) {
        if let Some(open) = self.now() {
            open.lines.reopen();
        }
    }

    /// Waits until what was taken is written, for so long at most; says whether it is. Holds up its thread.
    pub fn flush(&self, within: Duration) -> bool {
        self.now().is_none_or(|open| open.lines.flush(within))
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.now().is_some()
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Writes a line about a verdict, unless it is off or this one is not to be written.
    pub(crate) fn write(&self, decided: &Decided<'_>) {
        let Some(open) = self.now() else { return };
        if decided.is_plain() && !decided.is_among(open.settings.allows) {
            return;
        }
        open.lines.push(&decided.line(&open.shown[decided.callback.index]));
    }

    fn now(&self) -> Option<Arc<Open>> {
        self.0.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
