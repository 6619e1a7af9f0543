//! Flags and variables, made from the settings that have them.

use std::collections::BTreeSet;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::report::{Finding, Origin, nearest};
use super::settings::{self, Setting};

/// The flag of the configuration file, which is no setting of that file.
const FILE: &str = "config";

/// The mistake of an empty variable that [`guards`] something: probably a template that was not filled in.
pub(super) const EMPTY: &str = "is set, but empty; give it a value, or unset it";

/// The flags and variables of the configuration, read together with the file by
/// [`Config::load`](super::Config::load).
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The flags and variables that were given: path of the setting, text and source.
    pub(super) given: Vec<(&'static str, String, Origin)>,
}

impl Options {
    /// Options of some flags: the path of each setting, and its text.
    pub(crate) fn of_flags(flags: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let given = flags.into_iter().map(|(path, text)| (path, text, Origin::Flag(settings::flag_name(path))));
        Self { given: given.collect() }
    }

    /// Options of a configuration file, besides the variables.
    pub(crate) fn of_file(name: &str) -> Result<Self, clap::Error> {
        let command = Self::augment_args(Command::new("hookgate").no_binary_name(true));
        Self::from_arg_matches(&command.try_get_matches_from([format!("--{FILE}={name}")])?)
    }

    /// Returns the name of the configuration file and its source, if there is one.
    pub(crate) fn file(&self) -> Option<(&str, &Origin)> {
        self.given.iter().find(|(path, ..)| *path == FILE).map(|(_, name, origin)| (&**name, origin))
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        let arg = |(path, value_name, help)| {
            let flag = settings::flag_name(path).trim_start_matches('-').to_owned();
            Arg::new(path).long(flag).value_name(value_name).env(settings::variable(path)).help(help)
        };
        command.args(flags().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = flags().filter_map(|(path, ..)| {
            let text = matches.get_one::<String>(path)?;
            let origin = match matches.value_source(path) {
                Some(ValueSource::EnvVariable) => Origin::Variable(settings::variable(path)),
                _ => Origin::Flag(settings::flag_name(path)),
            };
            // An empty variable is an unset one.
            let unset = matches!(&origin, Origin::Variable(name) if text.is_empty() && !guards(name));
            (!unset).then(|| (path, text.clone(), origin))
        });
        Ok(Self { given: given.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns the flags, each with a variable beside it: path of the setting, placeholder of the value, help.
fn flags() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let help = "A YAML file with these and all other settings; hookgate config print shows them";
    let of_settings = settings::general().iter().filter_map(|setting| {
        let default = setting.default.as_ref().map(|default| format!(" [default: {}]", default.trim_matches('"')));
        Some((&*setting.path, setting.value_name?, format!("{}{}", setting.help, default.unwrap_or_default())))
    });
    [(FILE, "FILE", help.to_owned())].into_iter().chain(of_settings)
}

/// Returns true for an empty variable. Only those that [`guards`] accepts come here: others count as unset.
pub(super) fn is_empty_variable(text: &str, origin: &Origin) -> bool {
    text.is_empty() && matches!(origin, Origin::Variable(_))
}

/// Returns true for a variable without which hookgate would be more open: of access, TLS, the policy, failure rules.
fn guards(variable: &str) -> bool {
    let name = variable.trim_start_matches("HOOKGATE_");
    matches!(name, "CONFIG" | "POLICY")
        || ["ACCESS_", "TLS_", "POLICY_TLS_", "ON_FAILURE"].iter().any(|start| name.starts_with(start))
}

/// Finds variables with nearly the name of one of ours, and those of settings that only the file has. Others are ignored:
/// Kubernetes sets some of its own for a service called hookgate.
pub(super) fn misspelt_variables() -> Vec<Finding> {
    let known: BTreeSet<String> = flags().map(|(path, ..)| settings::variable(path)).collect();
    let findings = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| !known.contains(name))?;
        let rest = name.strip_prefix("HOOKGATE_")?;
        let (meant, what) = match settings::general().iter().find(|setting| settings::variable(&setting.path) == name) {
            Some(Setting { path, .. }) => (rest, format!("{path} stands in the file that --config names")),
            None => {
                let meant = nearest(rest, known.iter().map(|known| &known["HOOKGATE_".len()..]))?;
                (meant, format!("did you mean HOOKGATE_{meant}?"))
            }
        };
        let is_mistake = guards(meant) || !value.is_empty();
        is_mistake.then(|| Finding::new(Origin::Variable(name.clone()), "", format!("no such variable; {what}")))
    });
    findings.collect()
}
