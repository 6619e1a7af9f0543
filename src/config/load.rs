//! Reads every source of the configuration, in the order in which they override each other.

use std::collections::BTreeMap;
use std::path::Path;

use super::builder::Builder;
use super::options::{self, Options};
use super::report::{Finding, Origin, Report};
use super::validate::{validate, warn};
use super::{Config, Override, PolicyService, credentials, file, openim, settings, yaml};

/// Reads a file; the error is a sentence.
pub type TextOf<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// A resolved configuration, and findings about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Settings that are allowed and probably not meant.
    pub warnings: Vec<Finding>,
    /// The sources of the settings that are not left to their defaults, by full path.
    pub origins: BTreeMap<String, Origin>,
    /// The groups that the file turns off expressly, as in `access: none`.
    pub turned_off: Vec<&'static str>,
}

/// The built-in policy allows everything, so a missing line in a file must not choose it.
const NO_POLICY: &str = "not there, and no flag or variable names one; say which policy service is asked, or policy: \
                         builtin for the one that allows everything";

impl Loaded {
    /// Returns true if the configuration file of this name holds no setting: it is empty, or all of it is comments.
    pub(crate) fn is_blank(&self, file: &str) -> bool {
        !self.origins.values().any(|origin| matches!(origin, Origin::File(name, _) if name == file))
    }

    /// Returns a report of one setting whose value is legal and cannot be used here.
    pub fn wrong(&self, path: &str, what: String) -> Report {
        Report(vec![Finding::new(Origin::of(path, &self.origins), path, what)])
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
        let mut builder = Builder::default();
        let mut mistakes = options::misspelt_variables();
        let file = read_file(options, text_of, &mut builder, &mut mistakes);
        read_options(options, &mut builder, &mut mistakes);
        if let (Some(name), None) = (file, builder.origin("policy")) {
            mistakes.push(Finding::new(Origin::File(name.to_owned(), None), "policy", NO_POLICY));
        }
        builder.apply_disk_defaults();
        validate(&mut builder, &mut mistakes);
        let mut warnings = Vec::new();
        credentials::read(&mut builder, text_of, &mut mistakes, &mut warnings);
        warn(&builder, &mut warnings);
        openim::apply(&mut builder, text_of, &mut mistakes, &mut warnings);
        if mistakes.is_empty() { Ok(resolve(builder, warnings)) } else { Err(Report(mistakes)) }
    }
}

/// Reads `hookgate.yaml` into the builder. Returns its name; `None` without a file that can be read.
fn read_file<'o>(
    options: &'o Options,
    text_of: TextOf<'_>,
    builder: &mut Builder,
    mistakes: &mut Vec<Finding>,
) -> Option<&'o str> {
    let (name, origin) = options.file.as_ref()?;
    if options::is_empty_variable(name, origin) {
        mistakes.push(Finding::new(origin.clone(), "", options::EMPTY));
        return None;
    }
    let text = text_of(Path::new(name)).map_err(|what| Finding::new(origin.clone(), "", what));
    let root = text.and_then(|text| {
        yaml::read(&text).map_err(|error| Finding::new(Origin::File(name.clone(), Some(error.line)), "", error.what))
    });
    match root {
        Ok(root) => {
            file::read(name, &root, builder, mistakes);
            Some(name)
        }
        Err(finding) => {
            mistakes.push(finding);
            None
        }
    }
}

/// Reads flags and variables into the builder.
fn read_options(options: &Options, builder: &mut Builder, mistakes: &mut Vec<Finding>) {
    for (path, text, origin) in &options.given {
        let Some(setting) = settings::find(path) else { continue };
        let empty = options::is_empty_variable(text, origin);
        let set = if empty { Err(options::EMPTY.to_owned()) } else { setting.set(builder, text) };
        if let Err(what) = set {
            mistakes.push(Finding::new(origin.clone(), *path, what));
        }
        builder.origins.insert((*path).to_owned(), origin.clone());
    }
}

/// Resolves the values of all sources to a configuration.
fn resolve(builder: Builder, warnings: Vec<Finding>) -> Loaded {
    let Builder { mut config, policy, builtin_listen, rules, callbacks, origins, turned_off, .. } = builder;
    match (policy, builtin_listen) {
        (Some(url), _) => config.policy = PolicyService::Url(url),
        (None, Some(address)) => config.policy = PolicyService::BuiltIn(address),
        (None, None) => {}
    }
    config.every.on_failure = rules.over(config.every.on_failure);
    for (command, own) in callbacks {
        let budget = own.budget.filter(|budget| *budget != config.every.budget);
        let own = Override { budget, on_failure: own.rules };
        if own != Override::default() {
            config.callbacks.insert(command, own);
        }
    }
    Loaded { config, warnings, origins, turned_off }
}
