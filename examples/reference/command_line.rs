//! The reference of the command line and the man pages, from the definitions of the commands.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};
use hookgate::Cli;

const HEAD: &str = "\
# Command line

Every command with its options; `hookgate COMMAND --help` prints the same, `man hookgate` too where the
[pages](../man) are installed. `hookgate completions SHELL` prints completions for bash, elvish, fish, powershell and zsh.

Exit codes: 0 on success, 1 on failure, 2 for a mistake in the options or in the configuration. Further ones are described with
their options.
";

/// Returns the page.
pub fn page() -> String {
    let mut out = HEAD.to_owned();
    section(&command(), "hookgate", &mut out);
    out
}

/// Returns a man page for each command, by its path under `docs/`.
pub fn man_pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    man_page(&command(), &mut pages);
    pages
}

fn command() -> Command {
    // Without the commit.
    let mut command = Cli::command().disable_help_subcommand(true).long_version(None);
    command.build();
    command
}

fn man_page(command: &Command, pages: &mut BTreeMap<String, String>) {
    let man = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    man.render(&mut text).expect("memory takes what is written");
    let text = String::from_utf8(text).expect("help is text");
    let lines = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    pages.insert(format!("man/{}", man.get_filename()), lines + "\n");
    command.get_subcommands().for_each(|command| man_page(command, pages));
}

fn section(command: &Command, name: &str, out: &mut String) {
    let _ = writeln!(out, "\n## {name}\n");
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = writeln!(out, "{}.\n", about.to_string().trim_end_matches('.'));
    }
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(out, "```text\n{}\n```", usage.trim_start_matches("Usage: "));
    let arguments: Vec<_> =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help").collect();
    if !arguments.is_empty() {
        out.push_str("\n| option | |\n|---|---|\n");
        arguments.iter().for_each(|arg| row(arg, out));
    }
    if let Some(more) = command.get_after_help() {
        let _ = writeln!(out, "\n```text\n{more}\n```");
    }
    for command in command.get_subcommands() {
        section(command, &format!("{name} {}", command.get_name()), out);
    }
}

fn row(arg: &Arg, out: &mut String) {
    let words = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = write!(words, " [default: {}]", defaults.join(", "));
    }
    let values: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        let _ = write!(words, " [values: {}]", values.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(words, " [variable: {}]", variable.to_string_lossy());
    }
    let words = words.replace('|', "\\|");
    let _ = writeln!(out, "| `{}` | {words} |", arg.to_string().replace('|', "\\|"));
}
