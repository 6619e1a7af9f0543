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

/// What the command line and the environment say; it is judged together with the file, in [`Config::load`].
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The file, and who named it.
    pub(super) file: Option<(String, Origin)>,
    /// The texts of settings, by path.
    pub(super) said: Vec<(&'static str, String, Origin)>,
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
            matches.get_one::<String>(id).map(|text| (text.clone(), origin))
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

/// The variables that are nearly ours. Others are not looked at: Kubernetes sets some of its own for a service that is
/// called hookgate.
pub(super) fn misspelt_variables() -> Vec<Finding> {
    let mut known: BTreeSet<String> = everyday().map(|(setting, _)| setting.variable()).collect();
    known.insert(FILE_VARIABLE.to_owned());
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let names = names.filter(|name| name.starts_with("HOOKGATE_") && !known.contains(name));
    let findings = names.filter_map(|name| {
        let meant = nearest(&name["HOOKGATE_".len()..], known.iter().map(|known| &known["HOOKGATE_".len()..]))?;
        let what = format!("no such variable; did you mean HOOKGATE_{meant}?");
        Some(Finding::new(Origin::Variable(name), "", what))
    });
    findings.collect()
}
