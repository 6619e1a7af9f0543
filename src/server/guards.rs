//! The guards of routes: the webhooks that each has seen, and the routes that this copy has left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::config::{Config, Guard, Route};
use crate::observe::counters::millis_now;

/// The file in the directory of After events that has the routes which were left.
const FILE: &str = "guards.json";

/// The part of webhooks that may take longer than `p99`.
const SLOW: f64 = 0.01;

/// The guards of all routes. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Guards(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The states by the keys of the guards: a route that changes begins anew.
    states: Mutex<BTreeMap<String, State>>,
    /// A lock that is held while the file is written.
    writing: Mutex<()>,
    file: Option<PathBuf>,
}

/// The state of a guard.
#[derive(Debug, Default)]
struct State {
    /// The webhooks of about `least` to twice as many, the last ones.
    calls: u64,
    failed: u64,
    slow: u64,
    compared: u64,
    different: u64,
    /// The reason and the time of leaving the route; none while it is taken.
    left: Option<Left>,
}

/// A route that was left.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Left {
    /// Its name.
    route: String,
    why: String,
    /// The time of leaving it, in milliseconds since 1970.
    since_ms: u64,
}

/// A guard, as `/status` and `/shadow` have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuardReport {
    /// The name of the route.
    pub(crate) route: String,
    /// The bound that was exceeded, with the figure; none while the route is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<String>,
    /// The time since which it is left, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since_ms: Option<u64>,
    /// The webhooks that the guard looks at, those without a verdict and those over `p99`.
    pub(crate) webhooks: u64,
    pub(crate) failed: u64,
    pub(crate) slow: u64,
    /// The webhooks that were compared with the shadow, and those of them that differ.
    pub(crate) compared: u64,
    pub(crate) different: u64,
}

impl Guards {
    /// Opens the guards, with the routes that were left before the last stop, if there is a directory. A file that cannot be
    /// read leaves none.
    pub(crate) fn open(directory: Option<&Path>) -> Self {
        let Some(directory) = directory else { return Self::default() };
        let file = directory.join(FILE);
        let read = std::fs::read(&file).and_then(|text| Ok(serde_json::from_slice::<BTreeMap<String, Left>>(&text)?));
        let left = read.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                error!(file = %file.display(), %error, "guards not readable, no route is left");
            }
            BTreeMap::new()
        });
        let states = left.into_iter().map(|(key, left)| (key, State { left: Some(left), ..State::default() }));
        Self(Arc::new(Shared { states: Mutex::new(states.collect()), file: Some(file), ..Shared::default() }))
    }

    /// Returns true if a route was left.
    pub(super) fn has_left(&self, route: &Route) -> bool {
        let Some(guard) = &route.guard else { return false };
        self.0.states.lock().get(&*guard.key).is_some_and(|state| state.left.is_some())
    }

    /// Notes a webhook that a guarded route took.
    pub(super) fn note_call(&self, route: &Route, is_failed: bool, took: Duration) {
        self.note(route, |guard, state| {
            state.calls += 1;
            state.failed += u64::from(is_failed);
            state.slow += u64::from(guard.p99.is_some_and(|bound| took > bound));
        });
    }

    /// Notes a comparison with the shadow of a guarded route.
    pub(super) fn note_comparison(&self, route: &Route, differs: bool) {
        self.note(route, |_, state| {
            state.compared += 1;
            state.different += u64::from(differs);
        });
    }

    fn note(&self, route: &Route, note: impl FnOnce(&Guard, &mut State)) {
        let Some(guard) = &route.guard else { return };
        let mut states = self.0.states.lock();
        // A webhook of a configuration that is replaced has no state any more.
        let Some(state) = states.get_mut(&*guard.key) else { return };
        note(guard, state);
        if state.left.is_none()
            && let Some(why) = state.exceeded(guard)
        {
            warn!(route = &*route.name, why, "guard exceeded, route left");
            state.left = Some(Left { route: route.name.to_string(), why, since_ms: millis_now() });
            self.write();
        } else {
            state.forget(guard);
        }
    }

    /// Takes the routes of this name again, all if there is none; returns their names.
    pub(crate) fn resume(&self, name: Option<&str>) -> Vec<String> {
        let mut states = self.0.states.lock();
        let mut resumed = Vec::new();
        states.values_mut().for_each(|state| match &state.left {
            Some(left) if name.is_none_or(|name| name == left.route) => {
                resumed.push(left.route.clone());
                *state = State::default();
            }
            _ => {}
        });
        if !resumed.is_empty() {
            info!(routes = resumed.join(", "), "routes taken again on request");
            self.write();
        }
        resumed
    }

    /// Begins the guards of a configuration, and forgets those that it does not have: one that comes back begins anew.
    pub(crate) fn keep_those_of(&self, config: &Config) {
        let keys: BTreeSet<_> =
            config.routes.all().iter().filter_map(|route| Some(&*route.guard.as_ref()?.key)).collect();
        let mut states = self.0.states.lock();
        let before = states.len();
        states.retain(|key, _| keys.contains(&**key));
        let is_fewer = states.len() < before;
        keys.into_iter().for_each(|key| _ = states.entry(key.to_owned()).or_default());
        if is_fewer {
            self.write();
        }
    }

    /// Returns the guards of a configuration.
    pub(crate) fn report(&self, config: &Config) -> Vec<GuardReport> {
        let states = self.0.states.lock();
        let guarded = config.routes.all().iter().filter_map(|route| Some((route, route.guard.as_ref()?)));
        let report = guarded.map(|(route, guard)| {
            let none = State::default();
            let state = states.get(&*guard.key).unwrap_or(&none);
            GuardReport {
                route: route.name.to_string(),
                left: state.left.as_ref().map(|left| left.why.clone()),
                since_ms: state.left.as_ref().map(|left| left.since_ms),
                webhooks: state.calls,
                failed: state.failed,
                slow: state.slow,
                compared: state.compared,
                different: state.different,
            }
        });
        report.collect()
    }

    /// Writes the routes that were left, if there is a directory, on another thread.
    fn write(&self) {
        let shared = self.0.clone();
        if shared.file.is_none() {
            return;
        }
        spawn_blocking(move || {
            // One after another, each with what is so by then.
            let _writing = shared.writing.lock();
            let states = shared.states.lock();
            let left = states.iter().filter_map(|(key, state)| Some((key.clone(), state.left.clone()?)));
            let left: BTreeMap<_, _> = left.collect();
            drop(states);
            let Some(file) = &shared.file else { return };
            let text = serde_json::to_vec_pretty(&left).unwrap_or_default();
            let new = file.with_extension("new");
            let written = File::create(&new).and_then(|mut created| {
                created.write_all(&text)?;
                created.sync_all()?;
                std::fs::rename(&new, file)
            });
            if let Err(error) = written {
                error!(file = %file.display(), %error, "guards not written, a restart forgets them");
            }
        });
    }
}

impl State {
    /// Returns the bound that is exceeded, with the figure.
    fn exceeded(&self, guard: &Guard) -> Option<String> {
        let over = |part: u64, all: u64, bound: f64| all >= guard.least && part as f64 > all as f64 * bound;
        let show = |what: &str, part: u64, all: u64, bound: f64| {
            let percent = part as f64 * 100.0 / all.max(1) as f64;
            format!("{what}: {part} of {all} ({percent:.2}%), over {}%", bound * 100.0)
        };
        let differences = guard.differences.filter(|bound| over(self.different, self.compared, *bound));
        let failures = guard.failures.filter(|bound| over(self.failed, self.calls, *bound));
        let slow = guard.p99.filter(|_| over(self.slow, self.calls, SLOW));
        failures
            .map(|bound| show("failures", self.failed, self.calls, bound))
            .or_else(|| differences.map(|bound| show("differences", self.different, self.compared, bound)))
            .or_else(|| slow.map(|bound| show(&format!("slower than {bound:?}"), self.slow, self.calls, SLOW)))
    }

    /// Forgets half of what was seen, once that is twice as much as the guard needs.
    fn forget(&mut self, guard: &Guard) {
        if self.calls >= guard.least.saturating_mul(2) {
            (self.calls, self.failed, self.slow) = (self.calls / 2, self.failed / 2, self.slow / 2);
        }
        if self.compared >= guard.least.saturating_mul(2) {
            (self.compared, self.different) = (self.compared / 2, self.different / 2);
        }
    }
}
