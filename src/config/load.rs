//! Reads everything that says how hookgate is to run, in the order of who goes before whom.

use std::collections::BTreeMap;
use std::path::Path;

use super::draft::Draft;
use super::options::{self, Options};
use super::report::{Finding, Origin, Report};
use super::{Config, Override, PolicyService, contradictions, credentials, file, openim, settings, yaml};

/// The text of a file, or why there is none.
pub type TextOf<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// A configuration, and what there is to say of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// What will not work as somebody may think.
    pub warnings: Vec<Finding>,
    /// Who said what is not a default, by the full path of its key.
    pub origins: BTreeMap<String, Origin>,
    /// The groups that the file turns off expressly, as in `access: none`.
    pub turned_off: Vec<&'static str>,
}

/// The built-in policy allows everything, so that one is not served because a line of a file is missing.
const NO_POLICY: &str = "not there, and no flag or variable names one; say which policy service is asked, or policy: \
                         builtin for the one that allows everything";

impl Loaded {
    /// Returns true if the configuration file of this name holds no setting: it is empty, or all of it is comments.
    pub(crate) fn is_blank(&self, file: &str) -> bool {
        !self.origins.values().any(|origin| matches!(origin, Origin::File(name, _) if name == file))
    }

    /// A report of one setting that cannot be followed here, although it is well said.
    pub fn wrong(&self, path: &str, what: String) -> Report {
        Report(vec![Finding::new(Origin::of(path, &self.origins), path, what)])
    }
}

impl Config {
    /// Reads everything that there is to read: OpenIM's file over the defaults, our file over that, then the
    /// environment, then the command line. Finds all mistakes before it gives up.
    pub fn load(options: &Options) -> Result<Loaded, Report> {
        Self::load_from(options, &file::text)
    }

    /// As `load`, with something else in place of the file system.
    pub fn load_from(options: &Options, text_of: TextOf<'_>) -> Result<Loaded, Report> {
        let mut draft = Draft::from(Self::default());
        let mut mistakes = options::misspelt_variables();
        let file = read_file(options, text_of, &mut draft, &mut mistakes);
        read_options(options, &mut draft, &mut mistakes);
        if let (Some(name), None) = (file, draft.said("policy")) {
            mistakes.push(Finding::new(Origin::File(name.to_owned(), None), "policy", NO_POLICY));
        }
        draft.fill_in();
        contradictions::find(&draft, &mut mistakes);
        let mut warnings = Vec::new();
        credentials::read(&mut draft, text_of, &mut mistakes, &mut warnings);
        contradictions::doubts(&draft, &mut warnings);
        openim::apply(&mut draft, text_of, &mut mistakes, &mut warnings);
        if mistakes.is_empty() { Ok(settle(draft, warnings)) } else { Err(Report(mistakes)) }
    }
}

/// Takes what the file says, and returns its name; nothing where there is none that can be read.
fn read_file<'o>(
    options: &'o Options,
    text_of: TextOf<'_>,
    draft: &mut Draft,
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
        Ok(root) => file::read(name, &root, draft, mistakes),
        Err(finding) => {
            mistakes.push(finding);
            return None;
        }
    }
    // What a file names stands beside it. Nobody has named anything before it.
    if let Some(folder) = Path::new(name).parent() {
        for path in draft.paths() {
            *path = folder.join(&path);
        }
    }
    Some(name)
}

fn read_options(options: &Options, draft: &mut Draft, mistakes: &mut Vec<Finding>) {
    for (path, text, origin) in &options.said {
        let Some(setting) = settings::general().iter().find(|setting| setting.path == *path) else { continue };
        let empty = options::is_empty_variable(text, origin);
        let set = if empty { Err(options::EMPTY.to_owned()) } else { setting.set(draft, text) };
        if let Err(what) = set {
            mistakes.push(Finding::new(origin.clone(), *path, what));
        }
        draft.origins.insert((*path).to_owned(), origin.clone());
    }
}

/// What is in force after all that was said.
fn settle(draft: Draft, warnings: Vec<Finding>) -> Loaded {
    let Draft { mut config, policy, builtin_listen, rules, callbacks, origins, turned_off, .. } = draft;
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
