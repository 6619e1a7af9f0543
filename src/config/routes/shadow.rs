//! The shadow of a route.

use super::read::{Parts, RouteReader};
use crate::config::report::{did_you_mean, nearest};
use crate::config::yaml::{Entry, Value};
use crate::contract::{Callback, Timing};

/// A policy that is asked beside those that decide, and never waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow {
    /// Its index in [`Config::policies`](crate::config::Config::policies).
    pub policy: usize,
    /// True if it gets After events too.
    pub events: bool,
}

impl RouteReader<'_, '_> {
    /// Reads the shadow of a route: a name, or a map with `policy` and `events`.
    pub(super) fn shadow(
        &mut self,
        path: &str,
        parts: &Parts<'_>,
        asked: &[usize],
        callbacks: &[&'static Callback],
    ) -> Option<Shadow> {
        let node = parts.get("shadow")?;
        let path = format!("{path}.shadow");
        let (mut name, mut events) = (node.text().map(|name| (node.line, name)), false);
        if let Value::Map(_) = node.value {
            for Entry { line, key, value } in self.file.entries(&path, node, "keys with values: policy, events") {
                let full = format!("{path}.{key}");
                match (&**key, value.text()) {
                    ("policy", Some(text)) => name = Some((*line, text)),
                    ("events", Some("true")) => events = true,
                    ("events", Some("false")) => {}
                    ("events", _) => self.file.mistake(*line, &full, "expected true or false"),
                    ("policy", None) => self.file.mistake(*line, &full, "expected the name of a policy"),
                    (key, _) => {
                        let hint = did_you_mean(nearest(key, ["policy", "events"]), "expected policy, events");
                        self.file.mistake(*line, &full, format!("no such key; {hint}"));
                    }
                }
            }
        }
        let Some((line, name)) = name else {
            if let Value::Map(_) | Value::List(_) = node.value {
                self.file.mistake(node.line, &path, "names no policy");
            }
            return None;
        };
        let policy = self.policy(&path, line, name)?;
        if asked.contains(&policy) {
            self.file.mistake(line, &path, format!("{name:?} is asked by this route anyway"));
        } else if !events && callbacks.iter().all(|callback| callback.timing == Timing::After) {
            let what = format!("has no effect on After events; {{policy: {name}, events: true}} sends them to it");
            self.file.mistake(line, &path, what);
        }
        Some(Shadow { policy, events })
    }
}
