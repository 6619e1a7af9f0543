//! Parses OpenIM's own `webhooks.yml`, in every form of its releases and deployments.
//!
//! Sources: pkg/common/config/config.go and config/webhooks.yml of OpenIM 3.7 to main (keys on top),
//! deployments/templates/config.yaml of 3.5 (a `callback` block), pkg/common/webhook/http_client.go (what a timeout
//! means), and openimsdk/tools, utils/httputil/http_client.go (what caps it).

use std::time::Duration;

use super::file::by_config_key;
use super::report::{Finding, Origin};
use super::yaml::{self, Node, Value};
use crate::contract::{Callback, Timing};

/// The timeout of OpenIM's HTTP client, which caps every other timeout.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A parsed `webhooks.yml`.
#[derive(Debug, Default)]
pub(super) struct WebhooksYml {
    /// The URL that OpenIM posts to, and its source.
    pub url: Option<(String, Origin)>,
    /// The callbacks that it names.
    pub callbacks: Vec<Webhook>,
    /// Parts that cannot be read.
    pub mistakes: Vec<Finding>,
    /// Parts that will not work.
    pub warnings: Vec<Finding>,
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

/// Reads the text of a file.
pub(super) fn read(name: &str, text: &str) -> WebhooksYml {
    let mut reader = Reader { name, first_line: 0, read: WebhooksYml::default() };
    reader.text(text, true);
    if reader.read.mistakes.is_empty() && reader.read.callbacks.is_empty() {
        reader.wrong(None, "", "names no callback; expected OpenIM's webhooks.yml, or the config.yaml of 3.5");
    }
    reader.read
}

struct Reader<'a> {
    name: &'a str,
    /// The number of lines before the text, if it is part of another file.
    first_line: usize,
    read: WebhooksYml,
}

impl Reader<'_> {
    fn origin(&self, line: Option<usize>) -> Origin {
        Origin::File(self.name.to_owned(), line.map(|line| self.first_line + line))
    }

    fn wrong(&mut self, line: Option<usize>, path: &str, what: impl Into<String>) {
        let origin = self.origin(line);
        self.read.mistakes.push(Finding::new(origin, path, what));
    }

    fn text(&mut self, text: &str, outermost: bool) {
        let root = match yaml::read(text) {
            Ok(root) => root,
            Err(error) => return self.wrong(Some(error.line), "", error.what),
        };
        // A ConfigMap holds the file as text.
        if let Some(Value::Map(files)) = root.get("data").map(|data| &data.value).filter(|_| outermost) {
            let held = |name| files.iter().find(|file| file.key == name);
            let Some(file) = held("webhooks.yml").or_else(|| held("webhooks.yaml")).or_else(|| held("config.yaml"))
            else {
                return self.wrong(root.get("data").map(|data| data.line), "data", "holds no webhooks.yml");
            };
            if let Value::Scalar(text) = &file.value.value {
                self.first_line = file.line;
                self.text(text, false);
            }
            return;
        }
        // The `callback` block of 3.5 stands among the rest of its config.yaml.
        match root.get("callback").filter(|block| matches!(block.value, Value::Map(_))) {
            Some(block) => self.settings("callback.", block),
            None => self.settings("", &root),
        }
    }

    fn settings(&mut self, block: &str, node: &Node) {
        let Value::Map(entries) = &node.value else {
            return self.wrong(Some(node.line), block.trim_end_matches('.'), "expected url and callbacks");
        };
        let mut seen: Vec<&str> = Vec::new();
        for entry in entries {
            let path = format!("{block}{}", entry.key);
            if seen.contains(&&*entry.key) {
                self.wrong(Some(entry.line), &path, "given twice");
                continue;
            }
            seen.push(&entry.key);
            if entry.key.eq_ignore_ascii_case("url") {
                if let Value::Scalar(url) = &entry.value.value {
                    self.read.url = Some((url.clone(), self.origin(Some(entry.line))));
                }
                continue;
            }
            let mut callbacks = by_config_key(&entry.key).peekable();
            if callbacks.peek().is_none() {
                self.unknown(&path, entry.line, &entry.value);
                continue;
            }
            if !matches!(entry.value.value, Value::Map(_) | Value::Null) {
                self.wrong(Some(entry.line), &path, "expected enable and timeout");
                continue;
            }
            let (enabled, timeout, failed_continue) = self.callback(&path, entry.line, &entry.value);
            let origin = self.origin(Some(entry.line));
            self.read.callbacks.extend(callbacks.map(|callback| Webhook {
                callback,
                key: path.clone(),
                origin: origin.clone(),
                enabled,
                timeout,
                failed_continue: failed_continue && callback.timing == Timing::Before,
            }));
        }
    }

    fn unknown(&mut self, path: &str, line: usize, node: &Node) {
        if field(node, "enable").is_some_and(|enable| boolean(enable) == Some(true)) {
            let what = "enabled, but this build knows no such callback; if OpenIM sends it, it goes to \
                        FallbackPolicyService with the budget and rules of all callbacks";
            let origin = self.origin(Some(line));
            self.read.warnings.push(Finding::new(origin, path, what));
        }
    }

    fn callback(&mut self, path: &str, line: usize, node: &Node) -> (bool, Duration, bool) {
        let mut switch = |name: &str| match field(node, name) {
            None => false,
            Some(value) => boolean(value).unwrap_or_else(|| {
                self.wrong(Some(value.line), &format!("{path}.{name}"), "expected true or false");
                false
            }),
        };
        let (enabled, failed_continue) = (switch("enable"), switch("failedContinue"));
        let path = format!("{path}.timeout");
        let (seconds, line) = match field(node, "timeout").map(|node| (&node.value, node.line)) {
            None | Some((Value::Null, _)) => (0, line),
            Some((Value::Scalar(text), line)) => match text.parse::<i64>() {
                Ok(seconds) => (seconds, line),
                Err(_) => {
                    self.wrong(Some(line), &path, format!("{text:?}: expected a whole number of seconds"));
                    (0, line)
                }
            },
            Some((_, line)) => {
                self.wrong(Some(line), &path, "expected a whole number of seconds");
                (0, line)
            }
        };
        let timeout = match u64::try_from(seconds) {
            // Zero and less set no timeout.
            Err(_) | Ok(0) => LONGEST_TIMEOUT,
            Ok(seconds) => Duration::from_secs(seconds),
        };
        if enabled && timeout > LONGEST_TIMEOUT {
            let what = format!("{seconds}s: OpenIM gives up after 15s, whatever stands here");
            let origin = self.origin(Some(line));
            self.read.warnings.push(Finding::new(origin, path, what));
        }
        (enabled, timeout.min(LONGEST_TIMEOUT), failed_continue)
    }
}

/// Returns a field of a callback, in any case: OpenIM's reader ignores case.
fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(name)).map(|entry| &entry.value)
}

/// Parses a boolean as OpenIM does: the words of Go and of YAML.
fn boolean(node: &Node) -> Option<bool> {
    let Value::Scalar(text) = &node.value else { return matches!(node.value, Value::Null).then_some(false) };
    match &*text.to_ascii_lowercase() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}
