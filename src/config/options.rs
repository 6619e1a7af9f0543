//! The everyday settings as flags and variables: made from the rows of settings, so that their help is their
//! documentation.

use std::collections::BTreeSet;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::Config;
use super::draft::Draft;
use super::report::{Finding, Origin, nearest};
use super::settings::{self, Setting};

const FILE: &str = "config";
const FILE_VARIABLE: &str = "HOOKGATE_CONFIG";

/// The complaint about an empty variable whose absence opens something: a template that was not filled in looks so.
pub(super) const EMPTY: &str = "is set, but empty; give it a value, or unset it";

/// What the command line and the environment say; it is judged together with the file, in [`Config::load`].
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The file, and who named it.
    pub(super) file: Option<(String, Origin)>,
    /// The texts of settings, by path.
    pub(super) said: Vec<(&'static str, String, Origin)>,
}

impl Options {
    /// The name of the configuration file, if there is one.
    pub(crate) fn file(&self) -> Option<&str> {
        self.file.as_ref().map(|(name, _)| &**name)
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        let mut defaults = Draft::from(Config::default());
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .env(FILE_VARIABLE)
            .help("A YAML file with these and all other settings; hookgate config print shows them");
        everyday().fold(command.arg(file), |command, (setting, value)| {
            let default =
                setting.show(&mut defaults).map(|default| format!(" [default: {}]", default.trim_matches('"')));
            command.arg(
                Arg::new(setting.path.as_str())
                    .long(setting.flag().trim_start_matches('-').to_owned())
                    .value_name(value)
                    .env(setting.variable())
                    .help(format!("{}{}", setting.words, default.unwrap_or_default())),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let said = |id: &str, flag: String, variable: String| {
            let origin = match matches.value_source(id) {
                Some(ValueSource::EnvVariable) => Origin::Variable(variable),
                _ => Origin::Flag(flag),
            };
            let text = matches.get_one::<String>(id)?;
            // An empty variable is an unset one.
            let unset = matches!(&origin, Origin::Variable(name) if text.is_empty() && !opens(name));
            (!unset).then(|| (text.clone(), origin))
        };
        Ok(Self {
            file: said(FILE, format!("--{FILE}"), FILE_VARIABLE.to_owned()),
            said: everyday()
                .filter_map(|(setting, _)| {
                    let (text, origin) = said(&setting.path, setting.flag(), setting.variable())?;
                    Some((setting.path.as_str(), text, origin))
                })
                .collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn everyday() -> impl Iterator<Item = (&'static Setting<Draft>, &'static str)> {
    settings::general().iter().filter_map(|setting| Some((setting, setting.everyday?)))
}

/// Returns true for an empty text from the environment: of a variable that [`opens`] something, as others are unset then.
pub(super) fn is_empty_variable(text: &str, origin: &Origin) -> bool {
    text.is_empty() && matches!(origin, Origin::Variable(_))
}

/// Returns true for a variable whose absence opens something, or could: who may call, whom to ask, what a failure does.
fn opens(variable: &str) -> bool {
    let name = variable.trim_start_matches("HOOKGATE_");
    matches!(name, "CONFIG" | "POLICY")
        || ["ACCESS_", "TLS_", "POLICY_TLS_", "ON_FAILURE"].iter().any(|start| name.starts_with(start))
}

/// The variables that are nearly ours, and those of settings that stand in the file alone. Others are not looked at:
/// Kubernetes sets some of its own for a service that is called hookgate.
pub(super) fn misspelt_variables() -> Vec<Finding> {
    let mut known: BTreeSet<String> = everyday().map(|(setting, _)| setting.variable()).collect();
    known.insert(FILE_VARIABLE.to_owned());
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let names = names.filter(|name| name.starts_with("HOOKGATE_") && !known.contains(name));
    let is_empty = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
    let findings = names.filter_map(|name| {
        if let Some(setting) = settings::general().iter().find(|setting| setting.variable() == name) {
            let what = format!("no such variable; {} stands in the file that --config names", setting.path);
            return (opens(&name) || !is_empty(&name)).then(|| Finding::new(Origin::Variable(name), "", what));
        }
        let meant = nearest(&name["HOOKGATE_".len()..], known.iter().map(|known| &known["HOOKGATE_".len()..]))?;
        let what = format!("no such variable; did you mean HOOKGATE_{meant}?");
        (opens(meant) || !is_empty(&name)).then(|| Finding::new(Origin::Variable(name), "", what))
    });
    findings.collect()
}
