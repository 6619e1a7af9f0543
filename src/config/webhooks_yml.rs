//! Parses OpenIM's own `webhooks.yml`, in every form of its releases and deployments.
//!
//! Sources: pkg/common/config/config.go and config/webhooks.yml of OpenIM 3.7 to main (keys on top),
//! deployments/templates/config.yaml of 3.5 (a `callback` block), pkg/common/webhook/http_client.go (what a timeout
//! means), and openimsdk/tools, utils/httputil/http_client.go (what caps it). Variables: pkg/common/config/env.go and
//! load_config.go, and what viper 1.18.2 makes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::file::by_config_key;
use super::report::{Finding, Origin};
use super::yaml::{self, Entry, Node, Unreadable, Value};
use crate::contract::{Callback, Timing};

/// The timeout of OpenIM's HTTP client, which caps every other timeout.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The start of the variables that OpenIM 3.8.4 and later read in place of keys of the file.
pub(super) const VARIABLES: &str = "IMENV_WEBHOOKS_";

/// A parsed `webhooks.yml`.
#[derive(Debug, Default)]
pub(super) struct WebhooksYml {
    /// The file's name.
    pub name: String,
    /// The URL that OpenIM posts to, and its source.
    pub url: Option<(String, Origin)>,
    /// The callbacks that it names.
    pub callbacks: Vec<Webhook>,
    /// The reasons why not all comes that an enabled key seems to switch on, by key.
    pub caveats: BTreeMap<&'static str, String>,
    /// Parts that cannot be read.
    pub mistakes: Vec<Finding>,
    /// Parts that will not work.
    pub warnings: Vec<Finding>,
    /// The number of lines before the text, if it is part of another file.
    first_line: usize,
    /// The variables that replace values, by the path of their key in lower case.
    replaced: BTreeMap<String, String>,
}

/// A callback's settings in OpenIM.
#[derive(Debug)]
pub(super) struct Webhook {
    /// The callback.
    pub callback: &'static Callback,
    /// The key in the file.
    pub key: String,
    /// The source.
    pub origin: Origin,
    /// True if OpenIM sends it.
    pub enabled: bool,
    /// Time that OpenIM waits for the reply.
    pub timeout: Duration,
    /// True if OpenIM is to continue without a reply.
    pub failed_continue: bool,
}

/// Reads the text of a file, and the variables in place of its values.
pub(super) fn read(name: &str, text: &str, variables: BTreeMap<String, String>) -> WebhooksYml {
    let mut file = WebhooksYml { name: name.to_owned(), ..WebhooksYml::default() };
    match file.root(text) {
        // The `callback` block of 3.5 stands among the rest of its config.yaml.
        Ok(Some(mut root)) => {
            file.apply_variables(&mut root, variables);
            match root.get("callback").filter(|block| block.entries().is_some()) {
                Some(block) => file.settings("callback.", block),
                None => file.settings("", &root),
            }
        }
        Ok(None) => {}
        Err((line, what)) => file.mistake(line, "", what),
    }
    if file.mistakes.is_empty() && file.callbacks.is_empty() {
        let what = "names no callback; expected OpenIM's webhooks.yml, or the config.yaml of 3.5";
        file.mistakes.push(Finding::new(Origin::File(name.to_owned(), None), "", what));
    }
    file
}

impl WebhooksYml {
    fn origin(&self, line: usize, path: &str) -> Origin {
        match self.replaced.get(&path.to_lowercase()) {
            Some(variable) => Origin::Variable(variable.clone()),
            None => Origin::File(self.name.clone(), Some(self.first_line + line)),
        }
    }

    fn mistake(&mut self, line: usize, path: &str, what: impl Into<String>) {
        self.mistakes.push(Finding::new(self.origin(line, path), path, what));
    }

    fn warning(&mut self, line: usize, path: &str, what: impl Into<String>) {
        self.warnings.push(Finding::new(self.origin(line, path), path, what));
    }

    /// Parses a text, or the file that a ConfigMap in it holds: of one or more documents, or in a List, as kubectl prints them.
    /// `None` if that file is no text.
    fn root(&mut self, text: &str) -> Result<Option<Node>, Unreadable> {
        let documents = yaml::read_all(text)?;
        let objects: Vec<_> = documents.iter().flat_map(items).collect();
        let data = objects.iter().filter_map(|object| object.get("data"));
        let maps: Vec<_> = data.filter_map(|data| Some((data.line, data.entries()?))).collect();
        let held = |name| maps.iter().flat_map(|(_, files)| *files).filter(|file| file.key == name).collect::<Vec<_>>();
        let files =
            ["webhooks.yml", "webhooks.yaml", "config.yaml"].map(held).into_iter().find(|held| !held.is_empty());
        match (files.as_deref().unwrap_or_default(), maps.first()) {
            ([file], _) => {
                self.first_line = file.line;
                file.value.text().map(yaml::read).transpose()
            }
            ([one, other, ..], _) => {
                Err((other.line, format!("a second ConfigMap holds {}; the first is on line {}", other.key, one.line)))
            }
            ([], Some((line, _))) => Err((*line, "data: holds no webhooks.yml".to_owned())),
            // As OpenIM's reader does, which ignores further documents.
            ([], None) => Ok(documents.into_iter().next().or(Some(Node { line: 1, value: Value::Null }))),
        }
    }

    /// Replaces values by variables. OpenIM reads a variable for a key that stands in the file, and for no other.
    fn apply_variables(&mut self, root: &mut Node, mut variables: BTreeMap<String, String>) {
        let mut replace = |path: String, node: &mut Node| {
            let name = format!("{VARIABLES}{}", path.replace('.', "_").to_uppercase());
            if let Some(text) = variables.remove(&name) {
                node.value = Value::Scalar(text);
                self.replaced.insert(path.to_lowercase(), name);
            }
        };
        for Entry { key, value, .. } in root.entries_mut() {
            if let Value::Map(fields) = &mut value.value {
                fields.iter_mut().for_each(|field| replace(format!("{key}.{}", field.key), &mut field.value));
            } else {
                replace(key.clone(), value);
            }
        }
        let without_key = "has no effect: OpenIM reads it only if webhooks.yml has the key that it is named after";
        let without_key = variables.into_keys().map(|name| Finding::new(Origin::Variable(name), "", without_key));
        self.warnings.extend(without_key);
    }

    fn settings(&mut self, block: &str, node: &Node) {
        let Some(entries) = node.entries() else {
            return self.mistake(node.line, block.trim_end_matches('.'), "expected url and callbacks");
        };
        for (place, entry) in entries.iter().enumerate() {
            let path = format!("{block}{}", entry.key);
            let mut callbacks = by_config_key(&entry.key).peekable();
            if entries[..place].iter().any(|earlier| earlier.key == entry.key) {
                self.mistake(entry.line, &path, "given twice");
            } else if entry.key.eq_ignore_ascii_case("url") {
                if let Some(url) = entry.value.text() {
                    self.url = Some((url.to_owned(), self.origin(entry.line, "url")));
                }
            } else if callbacks.peek().is_none() {
                if field(&entry.value, "enable").is_some_and(|enable| boolean(enable) == Some(true)) {
                    self.enabled_unknown(entry, &path);
                }
            } else if !matches!(entry.value.value, Value::Map(_) | Value::Null) {
                self.mistake(entry.line, &path, "expected enable and timeout");
            } else {
                let [enabled, failed_continue] =
                    ["enable", "failedContinue"].map(|name| self.switch(name, &path, &entry.value));
                let timeout = self.timeout(&format!("{path}.timeout"), entry, enabled);
                if let (true, Some(callback)) = (enabled, callbacks.peek().copied()) {
                    self.enabled(callback, entry, &path);
                }
                let origin = self.origin(entry.line, &format!("{path}.timeout"));
                self.callbacks.extend(callbacks.map(|callback| Webhook {
                    callback,
                    key: path.clone(),
                    origin: origin.clone(),
                    enabled,
                    timeout,
                    failed_continue: failed_continue && callback.timing == Timing::Before,
                }));
            }
        }
    }

    /// Warns of an enabled key of no callback.
    fn enabled_unknown(&mut self, entry: &Entry, path: &str) {
        let Some((callback, key)) = Callback::by_dead_config_key(&entry.key) else {
            let what = "enabled, but this build knows no such callback; if OpenIM sends it, it goes to \
                        FallbackPolicyService with the budget and rules of all callbacks";
            return self.warning(entry.line, path, what);
        };
        let what = format!("switches nothing on in any OpenIM; {} is the key that works", callback.config_key);
        self.warning(entry.line, path, format!("enabled, but it {what}"));
        self.caveats.insert(key, what);
    }

    /// Warns of an enabled callback that does not come, or not as its `attentionIds` seems to say.
    fn enabled(&mut self, callback: &'static Callback, entry: &Entry, path: &str) {
        if callback.releases.is_empty() {
            self.warning(entry.line, path, "enabled, but no OpenIM that is known sends it");
        }
        let ids = field(&entry.value, "attentionIds").filter(|ids| match &ids.value {
            Value::List(ids) => !ids.is_empty(),
            _ => ids.text().is_some_and(|text| !text.is_empty()),
        });
        if let (Some(ids), false) = (ids, callback.attention_ids.is_empty()) {
            let what = callback.attention_ids;
            self.warning(ids.line, &format!("{path}.attentionIds"), what);
            self.caveats.insert(callback.config_key, format!("attentionIds {what}"));
        }
    }

    /// Reads a boolean of a callback; false if it is not there.
    fn switch(&mut self, name: &str, path: &str, node: &Node) -> bool {
        let Some(value) = field(node, name) else { return false };
        boolean(value).unwrap_or_else(|| {
            self.mistake(value.line, &format!("{path}.{name}"), "expected true or false");
            false
        })
    }

    /// Reads the timeout of a callback. Zero and less set none.
    fn timeout(&mut self, path: &str, callback: &Entry, enabled: bool) -> Duration {
        let Some(node) = field(&callback.value, "timeout").filter(|node| !matches!(node.value, Value::Null)) else {
            return LONGEST_TIMEOUT;
        };
        let Some(seconds) = node.text().and_then(|text| text.parse::<i64>().ok()) else {
            let found = node.text().map(|text| format!("{text:?}: ")).unwrap_or_default();
            self.mistake(node.line, path, format!("{found}expected a whole number of seconds"));
            return LONGEST_TIMEOUT;
        };
        let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        if enabled && timeout > LONGEST_TIMEOUT {
            self.warning(node.line, path, format!("{seconds}s: OpenIM gives up after 15s, whatever stands here"));
        }
        if timeout.is_zero() { LONGEST_TIMEOUT } else { timeout.min(LONGEST_TIMEOUT) }
    }
}

/// Returns the objects of a List, or the document itself.
fn items(document: &Node) -> &[Node] {
    match document.get("items").map(|items| &items.value) {
        Some(Value::List(items)) => items,
        _ => std::slice::from_ref(document),
    }
}

/// Returns a field of a callback, in any case: OpenIM's reader ignores case.
fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    node.entries()?.iter().find(|entry| entry.key.eq_ignore_ascii_case(name)).map(|entry| &entry.value)
}

/// Parses a boolean as OpenIM does: the words of Go and of YAML.
fn boolean(node: &Node) -> Option<bool> {
    if let Value::Null = node.value {
        return Some(false);
    }
    match &*node.text()?.to_ascii_lowercase() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}
