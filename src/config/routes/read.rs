//! Reads routes from the file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Route, Routes, Sample, Step, ids, paths};
use crate::config::file::{Reader, config_keys};
use crate::config::load::TextOf;
use crate::config::report::{did_you_mean, nearest};
use crate::config::yaml::{Entry, Node, Value};
use crate::config::{Config, NamedPolicy};
use crate::contract::{Callback, Filter, Ids, Place, PlaceKind, Timing, field_paths};

const KEYS: [&str; 11] =
    ["name", "callbacks", "timing", "when", "percent", "by", "cohort", "policies", "ask", "shadow", "guard"];

/// A reader of routes.
pub(super) struct RouteReader<'r, 'a> {
    pub(super) file: &'r mut Reader<'a>,
    /// The policies that routes can name.
    pub(super) policies: &'r [NamedPolicy],
    text_of: TextOf<'r>,
    /// The files of IDs that were read, by their paths; `None` for one with a mistake.
    ids: BTreeMap<PathBuf, Option<Arc<Ids>>>,
    digests: BTreeMap<PathBuf, Vec<u8>>,
}

/// Reads the routes of `node`, the value of the file's key `routes`.
pub(in crate::config) fn read(file: &mut Reader<'_>, node: &Node, config: &Config, text_of: TextOf<'_>) -> Routes {
    file.found("routes", node.line);
    let items = match &node.value {
        Value::List(items) if !items.is_empty() => items,
        _ => {
            file.mistake(node.line, "routes", "expected a list of routes");
            return Routes::default();
        }
    };
    // The last ones are the fallback's.
    let mut routes = Routes { steps: vec![Vec::new(); Callback::all().len() + 1], ..Routes::default() };
    let policies = &config.policies();
    let mut reader = RouteReader { file, policies, text_of, ids: BTreeMap::new(), digests: BTreeMap::new() };
    for (index, item) in items.iter().enumerate() {
        let path = format!("routes[{index}]");
        reader.file.found(&path, item.line);
        reader.route(&path, item, &mut routes);
    }
    routes.files = reader.digests;
    let mut before = Callback::all().iter().filter(|callback| callback.timing == Timing::Before);
    if before.all(|callback| routes.skip_all(callback)) {
        file.warning(node.line, "routes", "the policy is never asked: every Before callback is skipped");
    }
    routes
}

/// The parts of a route, by their key.
pub(super) struct Parts<'n>(Vec<&'n Entry>);

impl<'n> Parts<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }
}

impl RouteReader<'_, '_> {
    /// Reads one route, and adds it with its steps.
    fn route(&mut self, path: &str, node: &Node, routes: &mut Routes) {
        let node = &paths::resolved(node, self.file.name.as_ref());
        let parts = Parts(self.file.entries(path, node, &format!("keys with values: {}", KEYS.join(", "))));
        for Entry { line, key, value } in &parts.0 {
            let full = format!("{path}.{key}");
            if !KEYS.contains(&&**key) {
                let hint = did_you_mean(nearest(key, KEYS), &format!("expected {}", KEYS.join(", ")));
                self.file.mistake(*line, &full, format!("no such key; {hint}"));
            } else if let Value::Null = value.value {
                // A value that is lost must not let everything pass.
                self.file.mistake(*line, &full, "has no value");
            }
        }
        let callbacks = self.callbacks(path, node.line, &parts);
        let name = self.name(path, &parts, routes);
        let (policies, ask) = self.asked(path, node.line, &parts, &callbacks);
        let shadow = self.shadow(path, &parts, &policies, &callbacks);
        let text = node.flow();
        let guard = self.guard(path, &parts, &text, &policies, shadow);
        let filters = match parts.get("when") {
            Some(when) => self.rows(&format!("{path}.when"), when, &callbacks),
            None => vec![Default::default(); callbacks.len()],
        };
        let name: Arc<str> = name.unwrap_or(path).into();
        let samples = self.samples(path, &name, &parts, &callbacks);
        self.compare(path, node.line, &callbacks, &text, routes);
        let route = routes.all.len();
        let of_callbacks = ["callbacks", "timing", "when", "by"];
        if !policies.is_empty() && of_callbacks.iter().all(|key| parts.get(key).is_none()) {
            // Of a callback that is not known nothing can be looked at.
            routes.steps[Callback::fallback().index].push(Step { route, filter: Filter::default(), sample: None });
        }
        routes.all.push(Route { name, policies, ask, shadow, guard, text });
        for ((callback, filter), sample) in callbacks.into_iter().zip(filters).zip(samples) {
            routes.steps[callback.index].push(Step { route, filter, sample });
        }
    }

    /// Reads the name, which no other route has.
    fn name<'n>(&mut self, path: &str, parts: &Parts<'n>, routes: &Routes) -> Option<&'n str> {
        let node = parts.get("name")?;
        let name = self.single(&format!("{path}.name"), node)?;
        let what = match name {
            _ if routes.all.iter().any(|route| &*route.name == name) => "the name of another route",
            _ if name.trim().is_empty() => "must not be empty",
            _ if name.starts_with("routes[") => "a route without a name is called so",
            name => return Some(name),
        };
        self.file.mistake(node.line, &format!("{path}.name"), format!("{name:?}: {what}"));
        None
    }

    /// Returns the callbacks of a route: those of its patterns and its timing; all if it has neither.
    fn callbacks(&mut self, path: &str, line: usize, parts: &Parts<'_>) -> Vec<&'static Callback> {
        let mut callbacks: Vec<_> = Callback::all().iter().collect();
        if let Some(node) = parts.get("callbacks") {
            let path = format!("{path}.callbacks");
            let patterns = self.texts(&path, node);
            for (line, pattern) in &patterns {
                let known = || Callback::all().iter().flat_map(config_keys);
                if !Callback::all().iter().any(|callback| is_named(callback, pattern)) {
                    let hint = did_you_mean(nearest(pattern, known()), "hookgate callbacks lists their keys");
                    self.file.mistake(*line, &path, format!("{pattern:?}: no such callback; {hint}"));
                }
            }
            callbacks.retain(|callback| patterns.iter().any(|(_, pattern)| is_named(callback, pattern)));
        }
        let Some(node) = parts.get("timing") else { return callbacks };
        let path = format!("{path}.timing");
        let Some(word) = self.single(&path, node) else { return callbacks };
        let Some(timing) = [Timing::Before, Timing::After].into_iter().find(|timing| timing.as_str() == word) else {
            self.file.mistake(node.line, &path, format!("{word:?}: expected before or after"));
            return callbacks;
        };
        let had_some = !callbacks.is_empty();
        callbacks.retain(|callback| callback.timing == timing);
        if had_some && callbacks.is_empty() {
            self.file.mistake(line, &path, format!("none of these callbacks is sent {word} its operation"));
        }
        callbacks
    }

    /// Reads the part of the users, or other values, that a route takes, for each callback.
    fn samples(
        &mut self,
        path: &str,
        name: &Arc<str>,
        parts: &Parts<'_>,
        callbacks: &[&'static Callback],
    ) -> Vec<Option<Sample>> {
        let none = vec![None; callbacks.len()];
        let percent = parts.get("percent").and_then(|node| self.percent(&format!("{path}.percent"), node));
        let cohort = parts.get("cohort").and_then(|node| {
            let path = format!("{path}.cohort");
            let file = self.single(&path, node)?;
            self.ids_of(&path, node.line, file)
        });
        let (by, share) = match (parts.get("by"), parts.get("percent").or(parts.get("cohort"))) {
            (Some(by), Some(share)) => (by, share),
            (Some(by), None) => {
                self.file.mistake(by.line, &format!("{path}.by"), "has no effect without percent or cohort");
                return none;
            }
            (None, Some(share)) => {
                self.file.mistake(share.line, path, "needs by: the field whose value decides, such as a user's ID");
                return none;
            }
            (None, None) => return none,
        };
        if parts.get("percent").is_some() && parts.get("name").is_none() {
            self.file.mistake(share.line, path, "needs a name: it decides which users the percentage takes");
        }
        let path = format!("{path}.by");
        let Some(field) = self.single(&path, by) else { return none };
        let places = self.places(&path, by.line, field, callbacks);
        if places.iter().flatten().any(|place| place.kind != PlaceKind::Text || place.is_list) {
            self.file.mistake(by.line, &path, format!("{field} is not a single text"));
        }
        let percent = percent.unwrap_or_default();
        let sample = |by| Sample { by, salt: name.clone(), percent, cohort: cohort.clone() };
        places.into_iter().map(|place| place.map(sample)).collect()
    }

    fn percent(&mut self, path: &str, node: &Node) -> Option<f64> {
        let text = self.single(path, node)?;
        let percent = text.parse().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0);
        if percent.is_none() {
            self.file.mistake(node.line, path, format!("{text:?}: expected a number above 0 and up to 100"));
        }
        percent
    }

    /// Adds what is probably not meant of a route beside those before it.
    fn compare(&mut self, path: &str, line: usize, callbacks: &[&'static Callback], text: &str, routes: &Routes) {
        if let Some(same) = routes.all.iter().find(|route| route.text == text) {
            self.file.mistake(line, path, format!("the same as {}", same.name));
        } else if !callbacks.is_empty() && callbacks.iter().all(|callback| routes.take_all(callback)) {
            self.file.warning(line, path, "never taken: all of its webhooks are taken by a route before it");
        }
    }

    /// Finds a field in the requests of callbacks; adds a mistake if one of them lacks it.
    pub(super) fn places(
        &mut self,
        path: &str,
        line: usize,
        field: &str,
        callbacks: &[&'static Callback],
    ) -> Vec<Option<Place>> {
        let places: Vec<_> = callbacks.iter().map(|callback| Place::find(callback.request, field)).collect();
        let mut lacking = callbacks.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(row, _)| row);
        if let Some(first) = lacking.next() {
            let more = match lacking.count() {
                0 => String::new(),
                more => format!(", nor of {more} more callbacks of this route"),
            };
            let known = field_paths(first.request);
            let meant = nearest(field, known.iter().flat_map(|(path, field)| [&*path.name, field.name]));
            // The whole path of a field that is deeper than its name says.
            let whole = |name: &&str| known.iter().find(|(path, field)| path.name == *name || field.name == *name);
            let meant = meant.as_ref().and_then(whole).map(|(path, _)| &*path.name);
            // Two callbacks have one key.
            let is_shared = Callback::all().iter().filter(|row| row.config_key == first.config_key).count() > 1;
            let name = if is_shared { first.command } else { first.config_key };
            let hint = did_you_mean(meant, &format!("hookgate callbacks {name} lists them"));
            self.file.mistake(line, path, format!("no field of {name}{more}; {hint}"));
        }
        places
    }

    /// Returns the text of a single value; adds a mistake for another. A null has one already.
    pub(super) fn single<'n>(&mut self, path: &str, node: &'n Node) -> Option<&'n str> {
        if let Value::List(_) | Value::Map(_) = node.value {
            self.file.mistake(node.line, path, "expected a single value");
        }
        node.text()
    }

    /// Returns the texts of a single value or a list, with their lines.
    pub(super) fn texts<'n>(&mut self, path: &str, node: &'n Node) -> Vec<(usize, &'n str)> {
        let items = if let Value::List(items) = &node.value { items } else { std::slice::from_ref(node) };
        if items.is_empty() {
            self.file.mistake(node.line, path, "must name one at least");
        }
        let texts: Vec<_> = items.iter().filter_map(|item| Some((item.line, item.text()?))).collect();
        if texts.len() < items.len() {
            self.file.mistake(node.line, path, "expected a single value, or a list of them");
        }
        texts
    }

    /// Returns the IDs of a file; adds a mistake if it cannot be read.
    pub(super) fn ids_of(&mut self, path: &str, line: usize, file: &str) -> Option<Arc<Ids>> {
        let file = PathBuf::from(file);
        if let Some(read) = self.ids.get(&file) {
            return read.clone();
        }
        let read = match (self.text_of)(&file).and_then(|text| ids::read(&file, &text)) {
            Ok(ids::Read { ids, digest, warning }) => {
                if let Some(warning) = warning {
                    self.file.warning(line, path, warning);
                }
                self.digests.insert(file.clone(), digest);
                Some(Arc::new(ids))
            }
            Err(what) => {
                self.file.mistake(line, path, what);
                None
            }
        };
        self.ids.insert(file, read.clone());
        read
    }
}

/// Returns true if a callback has this command, or a key of this pattern.
fn is_named(callback: &Callback, pattern: &str) -> bool {
    let is_command = callback.command == pattern || callback.older_commands.contains(&pattern);
    is_command || config_keys(callback).any(|key| fits(pattern, key))
}

/// Returns true if a key is of a pattern, in which `*` stands for any letters.
fn fits(pattern: &str, key: &str) -> bool {
    let parts: Vec<_> = pattern.split('*').collect();
    let [first, middle @ .., last] = &*parts else { return pattern == key };
    let Some(mut rest) = key.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    middle.iter().all(|part| {
        let found = rest.split_once(part);
        found.map(|(_, behind)| rest = behind).is_some()
    })
}
