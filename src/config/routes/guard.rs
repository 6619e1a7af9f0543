//! The guard of a route that takes a percentage.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::Shadow;
use super::read::{Parts, RouteReader};
use crate::config::policies;
use crate::config::report::{did_you_mean, nearest};
use crate::config::value::time;
use crate::config::yaml::{Entry, Node};

const KEYS: [&str; 4] = ["differences", "failures", "p99", "least"];

/// Number of webhooks after which a guard judges, if it says none.
const LEAST: u64 = 500;

/// The bounds over which a copy of hookgate leaves a route, as if its percentage were 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// The part of the compared webhooks on which the shadow would have decided otherwise, from 0 to 1.
    pub differences: Option<f64>,
    /// The part of the webhooks without a verdict, from 0 to 1.
    pub failures: Option<f64>,
    /// The time within which 99 of 100 webhooks must be decided.
    pub p99: Option<Duration>,
    /// The number of webhooks after which it judges.
    pub least: u64,
    /// The route with the settings of its policies: when it changes, what the guard has seen counts no more.
    pub(crate) key: Arc<str>,
}

impl RouteReader<'_, '_> {
    /// Reads the guard of a route.
    pub(super) fn guard(
        &mut self,
        path: &str,
        parts: &Parts<'_>,
        text: &str,
        policies: &[usize],
        shadow: Option<Shadow>,
    ) -> Option<Guard> {
        let node = parts.get("guard")?;
        let path = format!("{path}.guard");
        let key = self.key(text, policies.iter().copied().chain(shadow.map(|shadow| shadow.policy)));
        let mut guard = Guard { differences: None, failures: None, p99: None, least: LEAST, key };
        let expected = format!("keys with values: {}", KEYS.join(", "));
        for Entry { line, key, value } in self.file.entries(&path, node, &expected) {
            let full = format!("{path}.{key}");
            let Some(text) = self.single(&full, value) else {
                self.file.mistake(*line, &full, "has no value");
                continue;
            };
            let read = match &**key {
                "differences" => share(text).map(|share| guard.differences = Some(share)),
                "failures" => share(text).map(|share| guard.failures = Some(share)),
                "p99" => (time().read)(text).map(|time| guard.p99 = Some(time)),
                "least" => match text.parse() {
                    Ok(least) if least > 0 => {
                        guard.least = least;
                        Ok(())
                    }
                    _ => Err(format!("{text:?}: expected a whole number of 1 or more")),
                },
                key => {
                    let hint = did_you_mean(nearest(key, KEYS), &format!("expected {}", KEYS.join(", ")));
                    Err(format!("no such key; {hint}"))
                }
            };
            if let Err(what) = read {
                self.file.mistake(*line, &full, what);
            }
        }
        self.check_guard(&path, node, parts, shadow);
        Some(guard)
    }

    /// Returns the text of a route, and all settings of these policies.
    fn key(&self, text: &str, policies: impl Iterator<Item = usize>) -> Arc<str> {
        let mut key = text.to_owned();
        for policy in policies.filter_map(|policy| self.policies.get(policy)) {
            let mut policy = policy.clone();
            for setting in policies::settings() {
                let _ = write!(key, "; {:?}", (setting.print)(&mut policy));
            }
            let _ = write!(key, "; {:?}", policy.metadata_files);
        }
        key.into()
    }

    fn check_guard(&mut self, path: &str, node: &Node, parts: &Parts<'_>, shadow: Option<Shadow>) {
        let has_bound = ["differences", "failures", "p99"].iter().any(|key| node.get(key).is_some());
        if parts.get("percent").is_none() {
            self.file.mistake(node.line, path, "has no effect without percent, to whose 0 it goes back");
        } else if parts.get("shadow").is_none() {
            self.file.mistake(node.line, path, "needs shadow: the policy that decided before, which is compared with");
        } else if !has_bound && shadow.is_some() {
            self.file.mistake(node.line, path, "needs a bound: differences, failures or p99");
        }
    }
}

/// Reads a percentage, as in `2%`.
fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| format!("{text:?}: expected a percentage, as in 2% or 0.5%"))
}
