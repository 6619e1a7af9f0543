//! Reads everything that says how hookgate is to run, in the order of who goes before whom.

use std::collections::BTreeMap;
use std::path::Path;

use super::draft::Draft;
use super::options::{self, Options};
use super::report::{Finding, Origin, Report};
use super::{Config, Handling, PolicyService, contradictions, credentials, file, openim, settings, yaml};

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
}

impl Loaded {
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
        read_file(options, text_of, &mut draft, &mut mistakes);
        read_options(options, &mut draft, &mut mistakes);
        draft.fill_in();
        contradictions::find(&draft, &mut mistakes);
        let mut warnings = Vec::new();
        credentials::read(&mut draft, text_of, &mut mistakes, &mut warnings);
        contradictions::doubts(&draft, &mut warnings);
        openim::apply(&mut draft, text_of, &mut mistakes, &mut warnings);
        if mistakes.is_empty() { Ok(settle(draft, warnings)) } else { Err(Report(mistakes)) }
    }
}

fn read_file(options: &Options, text_of: TextOf<'_>, draft: &mut Draft, mistakes: &mut Vec<Finding>) {
    let Some((name, origin)) = &options.file else { return };
    match text_of(Path::new(name)) {
        Err(what) => mistakes.push(Finding::new(origin.clone(), "", what)),
        Ok(text) => match yaml::read(&text) {
            Err(error) => {
                let origin = Origin::File(name.clone(), Some(error.line));
                mistakes.push(Finding::new(origin, "", error.what));
            }
            Ok(root) => file::read(name, &root, draft, mistakes),
        },
    }
    // What a file names stands beside it. Nobody has named anything before it.
    if let Some(folder) = Path::new(name).parent() {
        for path in draft.paths() {
            *path = folder.join(&path);
        }
    }
}

fn read_options(options: &Options, draft: &mut Draft, mistakes: &mut Vec<Finding>) {
    for (path, text, origin) in &options.said {
        let Some(setting) = settings::general().iter().find(|setting| setting.path == *path) else { continue };
        if let Err(what) = setting.set(draft, text) {
            mistakes.push(Finding::new(origin.clone(), *path, what));
        }
        draft.origins.insert((*path).to_owned(), origin.clone());
    }
}

/// What is in force after all that was said.
fn settle(draft: Draft, warnings: Vec<Finding>) -> Loaded {
    let Draft { mut config, policy, builtin_listen, rules, callbacks, origins, .. } = draft;
    match (policy, builtin_listen) {
        (Some(url), _) => config.policy = PolicyService::Url(url),
        (None, Some(address)) => config.policy = PolicyService::BuiltIn(address),
        (None, None) => {}
    }
    config.every.on_failure = rules.over(config.every.on_failure);
    for (command, own) in callbacks {
        let handling = Handling {
            budget: own.budget.unwrap_or(config.every.budget),
            on_failure: own.rules.over(config.every.on_failure),
        };
        if handling != config.every {
            config.callbacks.insert(command, handling);
        }
    }
    Loaded { config, warnings, origins }
}
