//! Flags and variables, made from the settings that have them.

use std::collections::BTreeSet;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::report::{Finding, Origin, nearest};
use super::settings::{self, Setting};

const FILE: &str = "config";
const FILE_VARIABLE: &str = "HOOKGATE_CONFIG";

/// The mistake of an empty variable that [`guards`] something: probably a template that was not filled in.
pub(super) const EMPTY: &str = "is set, but empty; give it a value, or unset it";

/// The flags and variables of the configuration, read together with the file by
/// [`Config::load`](super::Config::load).
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The name of the file, and its source.
    pub(super) file: Option<(String, Origin)>,
    /// The settings that were given: path, text and source.
    pub(super) given: Vec<(&'static str, String, Origin)>,
}

impl Options {
    /// Options of some flags: the file's name, and settings by path.
    pub(crate) fn of_flags(file: Option<String>, given: Vec<(&'static str, String)>) -> Self {
        let flag = |path: &str| Origin::Flag(settings::find(path).map(Setting::flag_name).unwrap_or_default());
        Self {
            file: file.map(|name| (name, Origin::Flag(format!("--{FILE}")))),
            given: given.into_iter().map(|(path, text)| (path, text, flag(path))).collect(),
        }
    }

    /// Returns the name of the configuration file, if there is one.
    pub(crate) fn file(&self) -> Option<&str> {
        self.file.as_ref().map(|(name, _)| &**name)
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .env(FILE_VARIABLE)
            .help("A YAML file with these and all other settings; hookgate config print shows them");
        with_flag().fold(command.arg(file), |command, setting| {
            let default = setting.default.as_ref().map(|default| format!(" [default: {}]", default.trim_matches('"')));
            command.arg(
                Arg::new(setting.path.as_str())
                    .long(setting.flag_name().trim_start_matches('-').to_owned())
                    .value_name(setting.value_name.unwrap_or_default())
                    .env(setting.variable())
                    .help(format!("{}{}", setting.help, default.unwrap_or_default())),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |id: &str, flag: String, variable: String| {
            let origin = match matches.value_source(id) {
                Some(ValueSource::EnvVariable) => Origin::Variable(variable),
                _ => Origin::Flag(flag),
            };
            let text = matches.get_one::<String>(id)?;
            // An empty variable is an unset one.
            let unset = matches!(&origin, Origin::Variable(name) if text.is_empty() && !guards(name));
            (!unset).then(|| (text.clone(), origin))
        };
        Ok(Self {
            file: given(FILE, format!("--{FILE}"), FILE_VARIABLE.to_owned()),
            given: with_flag()
                .filter_map(|setting| {
                    let (text, origin) = given(&setting.path, setting.flag_name(), setting.variable())?;
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

fn with_flag() -> impl Iterator<Item = &'static Setting> {
    settings::general().iter().filter(|setting| setting.value_name.is_some())
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
    let mut known: BTreeSet<String> = with_flag().map(Setting::variable).collect();
    known.insert(FILE_VARIABLE.to_owned());
    let findings = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| !known.contains(name))?;
        let rest = name.strip_prefix("HOOKGATE_")?;
        let (meant, what) = match settings::general().iter().find(|setting| setting.variable() == name) {
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
