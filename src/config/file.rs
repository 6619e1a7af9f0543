//! `hookgate.yaml`: every key of it, and what is wrong with each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::draft::{Draft, Own};
use super::report::{Finding, Origin, nearest};
use super::rules::Rules;
use super::settings::{self, Setting};
use super::yaml::{Entry, Node, Value};
use crate::contract::{Callback, Timing};

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

const CALLBACKS: &str = "callbacks";

/// The groups that say who calls and who answers. A key of theirs whose value has gone missing would be a rule that has.
const GUARDS: [&str; 3] = ["access", "tls", "policy_tls"];

/// The groups that can be turned off with the word `none`, so that a running hookgate lets them go.
const TURNED_OFF: [&str; 2] = ["access", "tls"];

/// Reads a file of a size that such files have.
pub fn text(path: &Path) -> Result<String, String> {
    let why = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(path).map_err(why)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(why)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("cannot read {}: more than 1MiB", path.display()));
    }
    String::from_utf8(bytes).map_err(|_| format!("cannot read {}: not UTF-8", path.display()))
}

/// Takes what the file says into the draft.
pub fn read(name: &str, root: &Node, draft: &mut Draft, findings: &mut Vec<Finding>) {
    let mut reader = Reader { name, origins: BTreeMap::new(), turned_off: Vec::new(), findings };
    reader.settings(settings::general(), draft, "", "", root, &[CALLBACKS]);
    if let Some(callbacks) = root.get(CALLBACKS) {
        for entry in reader.entries(CALLBACKS, callbacks, "callbacks by their config key") {
            reader.callback(draft, entry);
        }
    }
    draft.origins.append(&mut reader.origins);
    draft.turned_off = reader.turned_off;
}

/// The callbacks with a config key, today's or an older one.
pub fn by_config_key(key: &str) -> impl Iterator<Item = &'static Callback> {
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

    fn wrong(&mut self, line: usize, path: &str, what: impl Into<String>) {
        let origin = self.origin(line);
        self.findings.push(Finding::new(origin, path, what));
    }

    /// The entries of a map, each key once. No value is a map without entries.
    fn entries<'n>(&mut self, path: &str, node: &'n Node, expected: &str) -> Vec<&'n Entry> {
        let entries = match &node.value {
            Value::Null => return Vec::new(),
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => {
                self.wrong(node.line, path, format!("expected {expected}"));
                return Vec::new();
            }
        };
        let mut once: BTreeMap<&str, &Entry> = BTreeMap::new();
        let mut kept = Vec::new();
        for entry in entries {
            match once.get(&*entry.key) {
                None => {
                    once.insert(&entry.key, entry);
                    kept.push(entry);
                }
                Some(first) => {
                    let path = join(path, &entry.key);
                    self.wrong(entry.line, &path, format!("given twice; it is on line {} too", first.line));
                }
            }
        }
        kept
    }

    /// Takes the settings under `group`, whose keys have `base` before them in the file.
    fn settings<D>(
        &mut self,
        all: &[Setting<D>],
        of: &mut D,
        base: &str,
        group: &str,
        node: &Node,
        others: &[&'static str],
    ) {
        let known = keys_under(all, group).chain(others.iter().copied()).collect::<Vec<_>>();
        let none_or = if TURNED_OFF.contains(&group) { "none, or " } else { "" };
        let expected = format!("{none_or}keys with values: {}", known.join(", "));
        for entry in self.entries(&join(base, group), node, &expected) {
            let path = join(group, &entry.key);
            let full = join(base, &path);
            let setting = all.iter().find(|setting| setting.path == path);
            let is_group = keys_under(all, &path).next().is_some();
            if others.contains(&&*entry.key) {
                continue;
            }
            if !known.contains(&&*entry.key) {
                let hint = match nearest(&entry.key, known.iter().copied()) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("expected {}", known.join(", ")),
                };
                self.wrong(entry.line, &full, format!("no such key; {hint}"));
                continue;
            }
            match (&entry.value.value, setting) {
                (Value::Null, _) if GUARDS.contains(&full.split('.').next().unwrap_or_default()) => {
                    self.wrong(entry.line, &full, "has no value");
                    continue;
                }
                (Value::Null, _) => continue,
                (Value::Scalar(text), Some(setting)) => {
                    if let Err(what) = setting.set(of, text) {
                        self.wrong(entry.line, &full, what);
                    }
                }
                (Value::Scalar(text), None) if text == "none" && TURNED_OFF.contains(&&*full) => {
                    self.turned_off.extend(TURNED_OFF.iter().filter(|group| **group == full));
                }
                (Value::List(items), Some(setting)) if setting.list => self.list(setting, of, &full, entry, items),
                (Value::Map(_), _) | (_, None) if is_group => self.settings(all, of, base, &path, &entry.value, &[]),
                _ if setting.is_some_and(|setting| setting.list) => self.wrong(entry.line, &full, "expected a list"),
                _ => self.wrong(entry.line, &full, "expected a single value"),
            }
            self.origins.insert(full, self.origin(entry.line));
        }
    }

    /// Takes a list as YAML has it.
    fn list<D>(&mut self, setting: &Setting<D>, of: &mut D, path: &str, entry: &Entry, items: &[Node]) {
        let mut parts = Vec::new();
        for item in items {
            match &item.value {
                Value::Scalar(part) => parts.push(part.as_str()),
                _ => return self.wrong(item.line, path, "expected a list of single values"),
            }
        }
        if parts.is_empty() {
            return self.wrong(entry.line, path, "must name one at least");
        }
        if let Err(what) = setting.set(of, &parts.join(",")) {
            self.wrong(entry.line, path, what);
        }
    }

    /// Takes the settings of the callbacks with a key.
    fn callback(&mut self, draft: &mut Draft, entry: &Entry) {
        let path = join(CALLBACKS, &entry.key);
        if !config_keys().any(|known| known == entry.key) {
            let meant = Callback::by_command(&entry.key).map(|callback| callback.config_key);
            let hint = match meant.or_else(|| nearest(&entry.key, config_keys())) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "hookgate callbacks --json lists the config keys".to_owned(),
            };
            return self.wrong(entry.line, &path, format!("no such callback; {hint}"));
        }
        let mut own = Own { key: entry.key.clone(), ..Own::default() };
        self.settings(settings::of_callback(), &mut own, &path, "", &entry.value, &[]);
        let rules = join(&path, "on_failure");
        for callback in by_config_key(&entry.key) {
            if callback.timing == Timing::After && own.rules != Rules::default() {
                let line = match self.origins.get(&rules) {
                    Some(Origin::File(_, Some(line))) => *line,
                    _ => entry.line,
                };
                self.wrong(line, &rules, "failure rules do not apply to After callbacks");
            }
            if let Some(other) = draft.callbacks.insert(callback.command, own.clone()) {
                self.wrong(entry.line, &path, format!("the same callback as {}", other.key));
            }
        }
    }
}

/// The keys that stand right under a group, in their order.
fn keys_under<'a, D>(all: &'a [Setting<D>], group: &str) -> impl Iterator<Item = &'a str> {
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
