//! Reads every source of the configuration, in the order in which they override each other.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexSet;

use super::options::{self, Options};
use super::report::{Finding, Origin, Report};
use super::validate::{validate, warn};
use super::{Config, Override, Rule, credentials, file, openim, routes, settings, yaml};
use crate::contract::Callback;

/// Reads a file; the error is a sentence.
pub type TextOf<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// A resolved configuration, and findings about it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Settings that are allowed and probably not meant.
    pub warnings: Vec<Finding>,
    /// The sources of the settings that are not left to their defaults, by full path.
    pub origins: BTreeMap<String, Origin>,
    /// The groups that the file turns off expressly, as in `access: none`.
    pub turned_off: Vec<&'static str>,
    /// The mistakes, while the sources are read: with one there is no configuration. Each is reported once: two callbacks can
    /// have one key.
    pub(super) mistakes: IndexSet<Finding>,
}

/// The built-in policy allows everything, so a missing line in a file must not choose it.
const NO_POLICY: &str = "not there, and no flag or variable names one; say which policy service is asked, or policy: \
                         builtin for the one that allows everything";

/// Default of `after.bytes` with `after.store`.
const CLUSTER_BYTES: usize = 1 << 30;

impl Loaded {
    /// Returns true if the configuration file of this name holds no setting: it is empty, or all of it is comments.
    pub(crate) fn is_blank(&self, file: &str) -> bool {
        !self.origins.values().any(|origin| matches!(origin, Origin::File(name, _) if name == file))
    }

    /// Returns a report of one setting whose value is legal and cannot be used here. Without a source it is named by its
    /// path.
    pub fn wrong(&self, path: &str, what: String) -> Report {
        let origin = self.origins.get(path).cloned().unwrap_or_else(|| Origin::Flag(path.to_owned()));
        Report(vec![Finding::new(origin, path, what)])
    }

    /// Adds a mistake in a setting that a source must have set.
    pub(super) fn certain_mistake(&mut self, path: &str, what: impl Into<String>) {
        self.mistakes.extend(self.wrong(path, what.into()).0);
    }

    /// Adds a mistake in a setting. One in a setting that has its default is discarded, since no source can be named for it.
    pub(super) fn mistake(&mut self, path: &str, what: impl Into<String>) {
        let finding = self.finding(path, what);
        self.mistakes.extend(finding);
    }

    /// Adds a warning about a setting, if a source set it.
    pub(super) fn warning(&mut self, path: &str, what: impl Into<String>) {
        let finding = self.finding(path, what);
        self.warnings.extend(finding);
    }

    fn finding(&self, path: &str, what: impl Into<String>) -> Option<Finding> {
        self.origins.get(path).map(|origin| Finding::new(origin.clone(), path, what))
    }

    /// Returns the path of a callback's own setting, by the key that the file has for the callback; `None` if no source
    /// set it.
    pub(super) fn callback_path(&self, callback: &Callback, setting: &str) -> Option<String> {
        let paths = file::config_keys(callback).map(|key| format!("callbacks.{key}.{setting}"));
        paths.into_iter().find(|path| self.origins.contains_key(path))
    }

    /// Reads `hookgate.yaml`, if there is one. Returns its name; the error is a file that cannot be read.
    fn read_file<'o>(&mut self, options: &'o Options, text_of: TextOf<'_>) -> Result<Option<&'o str>, Finding> {
        let Some((name, origin)) = options.file() else { return Ok(None) };
        if options::is_empty_variable(name, origin) {
            return Err(Finding::new(origin.clone(), "", options::EMPTY));
        }
        let text = file::small(Path::new(name), text_of).map_err(|what| Finding::new(origin.clone(), "", what))?;
        let at = |line| Origin::File(name.to_owned(), Some(line));
        let root = yaml::read(&text).map_err(|(line, what)| Finding::new(at(line), "", what))?;
        file::read(name, &root, self, text_of);
        Ok(Some(name))
    }

    /// Reads flags and variables.
    fn read_options(&mut self, options: &Options) {
        for (path, text, origin) in &options.given {
            let Some(setting) = settings::find(path) else { continue };
            let empty = options::is_empty_variable(text, origin);
            let set = if empty { Err(options::EMPTY.to_owned()) } else { (setting.set)(&mut self.config, text) };
            self.origins.insert((*path).to_owned(), origin.clone());
            if let Err(what) = set {
                self.mistake(path, what);
            }
        }
    }

    /// Replaces defaults by those for events on disk, if there is a directory or a cluster for them.
    fn apply_disk_defaults(&mut self) {
        let has_cluster = !self.config.after.store.is_empty();
        if self.config.data.is_none() && !has_cluster {
            return;
        }
        for setting in settings::general().iter().filter(|setting| !self.origins.contains_key(&setting.path)) {
            if let Some(default) = setting.default_on_disk {
                (setting.set)(&mut self.config, default).expect("a default is a legal value");
            }
        }
        if has_cluster && !self.origins.contains_key("after.bytes") {
            // A cluster reserves it on each of its nodes.
            self.config.after.bytes = CLUSTER_BYTES;
        }
    }

    /// Removes what has no effect, so that configurations with the same effect are equal.
    fn simplify(&mut self) {
        let config = &mut self.config;
        config.on_failure = config.on_failure.exceptions(Rule::Deny);
        for own in config.callbacks.values_mut() {
            // An order that repeats after.order stays: a reload applies it, but not another after.order.
            own.budget = own.budget.filter(|budget| *budget != config.budget);
        }
        config.callbacks.retain(|_, own| *own != Override::default());
    }
}

impl Config {
    /// Reads every source: OpenIM's file overrides the defaults, `hookgate.yaml` overrides that, then come variables and
    /// flags. The error reports all mistakes at once.
    pub fn load(options: &Options) -> Result<Loaded, Report> {
        Self::load_from(options, &file::text)
    }

    /// Reads every source, with `text_of` in place of the file system.
    pub fn load_from(options: &Options, text_of: TextOf<'_>) -> Result<Loaded, Report> {
        let mut loaded = Loaded::default();
        loaded.mistakes.extend(options::misspelt_variables());
        let file = loaded.read_file(options, text_of).unwrap_or_else(|mistake| {
            loaded.mistakes.insert(mistake);
            None
        });
        loaded.read_options(options);
        match (file, loaded.origins.contains_key("policy"), loaded.origins.contains_key("policies")) {
            (Some(name), false, false) => {
                loaded.mistakes.insert(Finding::new(Origin::File(name.to_owned(), None), "policy", NO_POLICY));
            }
            (_, true, true) => loaded.mistake("policy", "policies names services too; one of the two is enough"),
            _ => {}
        }
        loaded.apply_disk_defaults();
        validate(&mut loaded);
        credentials::read(&mut loaded, text_of);
        warn(&mut loaded);
        openim::apply(&mut loaded, text_of);
        routes::check(&mut loaded);
        loaded.simplify();
        if loaded.mistakes.is_empty() { Ok(loaded) } else { Err(Report(loaded.mistakes.into_iter().collect())) }
    }
}
