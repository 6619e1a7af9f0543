//! `hookgate.yaml`: reads every key of it, with all mistakes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::builder::{Builder, CallbackSettings};
use super::report::{Finding, Origin, nearest};
use super::rules::Rules;
use super::settings::{self, Setting};
use super::yaml::{Entry, Node, Value};
use crate::contract::{Callback, Timing};

/// Maximum size of a file that is read.
const MAX_SIZE: u64 = 1 << 20;

const CALLBACKS: &str = "callbacks";

/// The groups of access and TLS. A key without a value is a mistake there: a lost value must not disable a rule.
const GUARDS: [&str; 3] = ["access", "tls", "policy_tls"];

/// The groups that the word `none` turns off, so that a reload may drop their rules.
const TURNED_OFF: [&str; 2] = ["access", "tls"];

/// Reads a file of 1 MiB at most. The error is a sentence.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    let why = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(path).map_err(why)?.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(why)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("cannot read {}: more than 1MiB", path.display()));
    }
    String::from_utf8(bytes).map_err(|_| format!("cannot read {}: not UTF-8", path.display()))
}

/// Reads the file `name`, parsed to `root`, into the builder. Adds its mistakes to `findings`.
pub(super) fn read(name: &str, root: &Node, builder: &mut Builder, findings: &mut Vec<Finding>) {
    let mut reader = Reader { name, origins: BTreeMap::new(), turned_off: Vec::new(), findings };
    reader.settings(settings::general(), builder, "", "", root, &[CALLBACKS]);
    if let Some(callbacks) = root.get(CALLBACKS) {
        for entry in reader.entries(CALLBACKS, callbacks, "callbacks by their config key") {
            reader.callback(builder, entry);
        }
    }
    builder.origins.append(&mut reader.origins);
    builder.turned_off = reader.turned_off;
}

/// Returns the callbacks with a config key, today's or an older one, in any case.
pub(super) fn by_config_key(key: &str) -> impl Iterator<Item = &'static Callback> {
    let named = |callback: &&Callback| {
        callback.older_config_keys.iter().chain([&callback.config_key]).any(|known| known.eq_ignore_ascii_case(key))
    };
    Callback::all().iter().filter(named)
}

fn config_keys() -> impl Iterator<Item = &'static str> {
    Callback::all().iter().flat_map(|callback| callback.older_config_keys.iter().chain([&callback.config_key])).copied()
}

struct Reader<'a> {
    name: &'a str,
    origins: BTreeMap<String, Origin>,
    turned_off: Vec<&'static str>,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn origin(&self, line: usize) -> Origin {
        Origin::File(self.name.to_owned(), Some(line))
    }

    fn mistake(&mut self, line: usize, path: &str, what: impl Into<String>) {
        let origin = self.origin(line);
        self.findings.push(Finding::new(origin, path, what));
    }

    /// Returns the entries of a map, the first of each key. A null is a map without entries.
    fn entries<'n>(&mut self, path: &str, node: &'n Node, expected: &str) -> Vec<&'n Entry> {
        let entries = match &node.value {
            Value::Null => return Vec::new(),
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => {
                self.mistake(node.line, path, format!("expected {expected}"));
                return Vec::new();
            }
        };
        let mut first: Vec<&Entry> = Vec::new();
        for entry in entries {
            match first.iter().find(|known| known.key == entry.key) {
                None => first.push(entry),
                Some(known) => {
                    let what = format!("given twice; it is on line {} too", known.line);
                    self.mistake(entry.line, &join(path, &entry.key), what);
                }
            }
        }
        first
    }

    /// Reads the settings of `group`, whose keys have `base` before them in the file. `others` are keys that are read
    /// elsewhere.
    fn settings<B: 'static>(
        &mut self,
        all: &[Setting<B>],
        builder: &mut B,
        base: &str,
        group: &str,
        node: &Node,
        others: &[&'static str],
    ) {
        let known = keys_under(all, group).chain(others.iter().copied()).collect::<Vec<_>>();
        let none_or = if TURNED_OFF.contains(&group) { "none, or " } else { "" };
        let expected = format!("{none_or}keys with values: {}", known.join(", "));
        for entry in self.entries(&join(base, group), node, &expected) {
            if others.contains(&&*entry.key) {
                continue;
            }
            let path = join(group, &entry.key);
            let full = join(base, &path);
            if !known.contains(&&*entry.key) {
                let hint = match nearest(&entry.key, known.iter().copied()) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("expected {}", known.join(", ")),
                };
                self.mistake(entry.line, &full, format!("no such key; {hint}"));
                continue;
            }
            let setting = all.iter().find(|setting| setting.path == path);
            let is_group = keys_under(all, &path).next().is_some();
            match (&entry.value.value, setting) {
                (Value::Null, _) => {
                    if GUARDS.contains(&full.split('.').next().unwrap_or_default()) {
                        self.mistake(entry.line, &full, "has no value");
                    }
                    continue;
                }
                (Value::Scalar(text), Some(setting)) => self.value(setting, builder, &full, entry.line, text),
                (Value::Scalar(text), None) if text == "none" && TURNED_OFF.contains(&&*full) => {
                    self.turned_off.extend(TURNED_OFF.iter().filter(|group| **group == full));
                }
                (Value::List(items), Some(setting)) if setting.is_list => {
                    self.list(setting, builder, &full, entry, items);
                }
                (Value::Map(_), _) | (_, None) if is_group => {
                    self.settings(all, builder, base, &path, &entry.value, &[]);
                }
                _ if setting.is_some_and(|setting| setting.is_list) => {
                    self.mistake(entry.line, &full, "expected a list");
                }
                _ => self.mistake(entry.line, &full, "expected a single value"),
            }
            self.origins.insert(full, self.origin(entry.line));
        }
    }

    /// Sets a setting. Its path, if it is one, is relative to the folder of the file.
    fn value<B: 'static>(&mut self, setting: &Setting<B>, builder: &mut B, path: &str, line: usize, text: &str) {
        let folder = Path::new(self.name).parent().filter(|_| setting.is_path(text));
        let text = folder.map_or(Cow::from(text), |folder| folder.join(text).to_string_lossy().into_owned().into());
        if let Err(what) = setting.set(builder, &text) {
            self.mistake(line, path, what);
        }
    }

    /// Sets a setting from a list of YAML.
    fn list<B: 'static>(&mut self, setting: &Setting<B>, builder: &mut B, path: &str, entry: &Entry, items: &[Node]) {
        let mut parts = Vec::new();
        for item in items {
            match &item.value {
                Value::Scalar(part) => parts.push(part.as_str()),
                _ => return self.mistake(item.line, path, "expected a list of single values"),
            }
        }
        if parts.is_empty() {
            return self.mistake(entry.line, path, "must name one at least");
        }
        if let Err(what) = setting.set(builder, &parts.join(",")) {
            self.mistake(entry.line, path, what);
        }
    }

    /// Reads the settings of the callbacks with a config key.
    fn callback(&mut self, builder: &mut Builder, entry: &Entry) {
        let path = join(CALLBACKS, &entry.key);
        if !config_keys().any(|known| known == entry.key) {
            let meant = Callback::by_command(&entry.key).map(|callback| callback.config_key);
            let hint = match meant.or_else(|| nearest(&entry.key, config_keys())) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "hookgate callbacks --json lists the config keys".to_owned(),
            };
            return self.mistake(entry.line, &path, format!("no such callback; {hint}"));
        }
        let mut own = CallbackSettings { key: entry.key.clone(), ..CallbackSettings::default() };
        self.settings(settings::of_callback(), &mut own, &path, "", &entry.value, &[]);
        let rules = join(&path, "on_failure");
        for callback in by_config_key(&entry.key) {
            if callback.timing == Timing::After && own.rules != Rules::default() {
                let line = match self.origins.get(&rules) {
                    Some(Origin::File(_, Some(line))) => *line,
                    _ => entry.line,
                };
                self.mistake(line, &rules, "failure rules do not apply to After callbacks");
            }
            if let Some(other) = builder.callbacks.insert(callback.command, own.clone()) {
                self.mistake(entry.line, &path, format!("the same callback as {}", other.key));
            }
        }
    }
}

/// Returns the keys directly under a group, in their order.
fn keys_under<'a, B>(all: &'a [Setting<B>], group: &str) -> impl Iterator<Item = &'a str> {
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

fn join(path: &str, key: &str) -> String {
    match (path, key) {
        ("", key) => key.to_owned(),
        (path, "") => path.to_owned(),
        (path, key) => format!("{path}.{key}"),
    }
}
