//! `hookgate.yaml`: reads every key of it, with all mistakes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use indexmap::IndexSet;

use super::load::{Loaded, TextOf};
use super::report::{Finding, Origin, did_you_mean, nearest};
use super::settings::{self, Setting};
use super::yaml::{Entry, Node, Value};
use super::{Config, Override, Rules, policies, routes};
use crate::contract::{Callback, Timing};

/// Maximum size of a file of IDs.
const MAX_IDS: u64 = 16 << 20;

/// Maximum size of any other file.
const MAX_SIZE: usize = 1 << 20;

const CALLBACKS: &str = "callbacks";

const POLICIES: &str = "policies";

const ROUTES: &str = "routes";

/// The groups of access and TLS. A key without a value is a mistake there: a lost value must not disable a rule.
const GUARDS: [&str; 3] = ["access", "tls", "policy_tls"];

/// The groups that the word `none` turns off, so that a reload may drop their rules.
const TURNED_OFF: [&str; 2] = ["access", "tls"];

/// Reads a file of 16 MiB at most. The error is a sentence.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    let why = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(path).map_err(why)?.take(MAX_IDS + 1).read_to_end(&mut bytes).map_err(why)?;
    if bytes.len() as u64 > MAX_IDS {
        return Err(format!("cannot read {}: more than 16MiB", path.display()));
    }
    String::from_utf8(bytes).map_err(|_| format!("cannot read {}: not UTF-8", path.display()))
}

/// Reads a file that holds no IDs, with `text_of`: 1 MiB at most. The error is a sentence.
pub(super) fn small(path: &Path, text_of: TextOf<'_>) -> Result<String, String> {
    let text = text_of(path)?;
    match text.len() > MAX_SIZE {
        true => Err(format!("cannot read {}: more than 1MiB", path.display())),
        false => Ok(text),
    }
}

/// Returns the lines of a file with their numbers, without empty ones and comments, which begin with `#` after any whitespace.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !matches!(line.trim().as_bytes(), [] | [b'#', ..]))
}

/// Reads the file `name`, parsed to `root`, into the configuration.
pub(super) fn read(name: &str, root: &Node, loaded: &mut Loaded, text_of: TextOf<'_>) {
    let Loaded { config, origins, turned_off, mistakes, warnings } = loaded;
    let mut reader = Reader { name, origins, turned_off, mistakes, warnings };
    reader.settings(settings::general(), config, "", "", root);
    if let Some(callbacks) = root.get(CALLBACKS) {
        let mut keys = BTreeMap::new();
        for entry in reader.entries(CALLBACKS, callbacks, "callbacks by their config key") {
            reader.callback(config, entry, &mut keys);
        }
    }
    if let Some(node) = root.get(POLICIES) {
        config.policies = policies::read(&mut reader, node, config);
    }
    if let Some(node) = root.get(ROUTES) {
        config.routes = routes::read(&mut reader, node, config, text_of);
    }
}

/// Returns the config keys of a callback: older ones, and today's.
pub(super) fn config_keys(callback: &Callback) -> impl Iterator<Item = &'static str> {
    callback.older_config_keys.iter().copied().chain([callback.config_key])
}

/// Returns the callbacks with a config key, in any case.
pub(super) fn by_config_key(key: &str) -> impl Iterator<Item = &'static Callback> {
    Callback::all().iter().filter(|callback| config_keys(callback).any(|known| known.eq_ignore_ascii_case(key)))
}

/// A reader of the file, which adds what it finds.
pub(super) struct Reader<'a> {
    pub(super) name: &'a str,
    origins: &'a mut BTreeMap<String, Origin>,
    turned_off: &'a mut Vec<&'static str>,
    mistakes: &'a mut IndexSet<Finding>,
    warnings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn origin(&self, line: usize) -> Origin {
        Origin::File(self.name.to_owned(), Some(line))
    }

    /// Returns true if a setting was found.
    pub(super) fn has(&self, path: &str) -> bool {
        self.origins.contains_key(path)
    }

    /// Notes the line of a setting.
    pub(super) fn found(&mut self, path: &str, line: usize) {
        self.origins.insert(path.to_owned(), self.origin(line));
    }

    pub(super) fn mistake(&mut self, line: usize, path: &str, what: impl Into<String>) {
        self.mistakes.insert(Finding::new(self.origin(line), path, what));
    }

    pub(super) fn warning(&mut self, line: usize, path: &str, what: impl Into<String>) {
        self.warnings.push(Finding::new(self.origin(line), path, what));
    }

    /// Returns the entries of a map, the first of each key. A null is a map without entries.
    pub(super) fn entries<'n>(&mut self, path: &str, node: &'n Node, expected: &str) -> Vec<&'n Entry> {
        let mut first = Vec::new();
        match &node.value {
            Value::Null => {}
            Value::Map(entries) => {
                for (place, entry) in entries.iter().enumerate() {
                    match entries[..place].iter().find(|earlier| earlier.key == entry.key) {
                        None => first.push(entry),
                        Some(earlier) => {
                            let what = format!("given twice; it is on line {} too", earlier.line);
                            self.mistake(entry.line, &join(path, &entry.key), what);
                        }
                    }
                }
            }
            Value::Scalar(_) | Value::List(_) => self.mistake(node.line, path, format!("expected {expected}")),
        }
        first
    }

    /// Reads the settings of `group`, whose keys have `base` before them in the file.
    pub(super) fn settings<C: 'static>(
        &mut self,
        all: &[Setting<C>],
        config: &mut C,
        base: &str,
        group: &str,
        node: &Node,
    ) {
        let is_policy = base.starts_with(POLICIES);
        // Read elsewhere.
        let others: &[&str] = match group {
            "" if base.is_empty() => &[POLICIES, ROUTES, CALLBACKS],
            "" if is_policy => &["metadata"],
            _ => &[],
        };
        let known: Vec<_> = keys_under(all, group).chain(others.iter().copied()).collect();
        let none_or = if TURNED_OFF.contains(&group) { "none, or " } else { "" };
        let expected = format!("{none_or}keys with values: {}", known.join(", "));
        for entry in self.entries(&join(base, group), node, &expected) {
            if others.contains(&&*entry.key) {
                continue;
            }
            let path = join(group, &entry.key);
            let full = join(base, &path);
            if !known.contains(&&*entry.key) {
                let meant = nearest(&entry.key, known.iter().copied());
                let hint = did_you_mean(meant, &format!("expected {}", known.join(", ")));
                self.mistake(entry.line, &full, format!("no such key; {hint}"));
                continue;
            }
            let setting = all.iter().find(|setting| setting.path == path);
            let turned_off = TURNED_OFF.iter().find(|group| **group == full);
            match (&entry.value.value, setting) {
                (Value::Null, _) => {
                    if is_policy || GUARDS.contains(&full.split('.').next().unwrap_or_default()) {
                        self.mistake(entry.line, &full, "has no value");
                    }
                    continue;
                }
                (Value::Scalar(word), None) if word == "none" && turned_off.is_some() => {
                    self.turned_off.extend(turned_off);
                }
                (Value::Map(_), _) | (_, None) if keys_under(all, &path).next().is_some() => {
                    self.settings(all, config, base, &path, &entry.value);
                }
                (_, Some(setting)) => {
                    let set = text_of(entry, setting).and_then(|text| {
                        let text = match setting.is_path(&text) {
                            // Relative to the folder of the file.
                            true => Path::new(self.name).with_file_name(&*text).to_string_lossy().into_owned(),
                            false => text.into_owned(),
                        };
                        (setting.set)(config, &text).map_err(|what| (entry.line, what))
                    });
                    if let Err((line, what)) = set {
                        self.mistake(line, &full, what);
                    }
                }
                (_, None) => self.mistake(entry.line, &full, "expected a single value"),
            }
            self.found(&full, entry.line);
        }
    }

    /// Reads the settings of the callbacks with a config key. `keys` are those of the callbacks before, by command.
    fn callback<'n>(&mut self, config: &mut Config, entry: &'n Entry, keys: &mut BTreeMap<&'static str, &'n str>) {
        let path = join(CALLBACKS, &entry.key);
        let known = || Callback::all().iter().flat_map(config_keys);
        if !known().any(|known| known == entry.key) {
            let by_command = Callback::by_command(&entry.key).map(|known| known.config_key);
            let meant = by_command.or_else(|| nearest(&entry.key, known()));
            let hint = did_you_mean(meant, "hookgate callbacks --json lists the config keys");
            return self.mistake(entry.line, &path, format!("no such callback; {hint}"));
        }
        let mut own = Override::default();
        self.settings(settings::of_callback(), &mut own, &path, "", &entry.value);
        for callback in by_config_key(&entry.key) {
            for (setting, what) in misplaced(callback, &own) {
                let setting = join(&path, setting);
                let origin = self.origins.get(&setting).cloned().unwrap_or_else(|| self.origin(entry.line));
                self.mistakes.insert(Finding::new(origin, setting, what));
            }
            config.callbacks.insert(callback.command, own.clone());
            if let Some(other) = keys.insert(callback.command, &entry.key) {
                self.mistake(entry.line, &path, format!("the same callback as {other}"));
            }
        }
    }
}

/// Returns the settings that a callback has and cannot have, each with a sentence.
fn misplaced(callback: &Callback, own: &Override) -> impl Iterator<Item = (&'static str, String)> {
    let rules = callback.timing == Timing::After && own.on_failure != Rules::default();
    let rules = rules.then(|| ("on_failure", "failure rules do not apply to After callbacks".to_owned()));
    let order = (own.order.is_some() && callback.ordered_by.is_empty()).then(|| {
        let key = callback.config_key;
        let what = match callback.timing {
            Timing::Before => format!("{key} is a Before callback, and only After callbacks have an order"),
            Timing::After => format!("{key} has no order to set: its events have no key"),
        };
        ("order", what)
    });
    rules.into_iter().chain(order)
}

/// Returns the text of a value, of a list with commas between its items. The error is a line and a sentence.
fn text_of<'n, C>(entry: &'n Entry, setting: &Setting<C>) -> Result<Cow<'n, str>, (usize, String)> {
    match &entry.value.value {
        Value::Scalar(text) => Ok(text.into()),
        Value::List(items) if setting.is_list => {
            let text = |item: &'n Node| item.text().ok_or((item.line, "expected a list of single values".to_owned()));
            let items: Vec<_> = items.iter().map(text).collect::<Result<_, _>>()?;
            match items.is_empty() {
                true => Err((entry.line, "must name one at least".to_owned())),
                false => Ok(items.join(",").into()),
            }
        }
        _ if setting.is_list => Err((entry.line, "expected a list".to_owned())),
        _ => Err((entry.line, "expected a single value".to_owned())),
    }
}

/// Returns the keys directly under a group, in their order.
fn keys_under<'a, C>(all: &'a [Setting<C>], group: &str) -> impl Iterator<Item = &'a str> {
    let mut last = None;
    all.iter().filter_map(move |setting| {
        let rest = match group {
            "" => &*setting.path,
            group => setting.path.strip_prefix(group)?.strip_prefix('.')?,
        };
        let key = rest.split('.').next().unwrap_or(rest);
        (last.replace(key) != Some(key)).then_some(key)
    })
}

pub(super) fn join(path: &str, key: &str) -> String {
    let parts = [path, key].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(".")
}
