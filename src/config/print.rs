//! Prints a configuration as a file that `--config` reads back.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::builder::Builder;
use super::load::Loaded;
use super::settings::Setting;
use super::value::show_time;
use super::{rules, settings};
use crate::contract::Callback;

/// Prints a configuration as YAML, with the description of every setting, and its source if it is not a default.
pub fn print(loaded: &Loaded) -> String {
    let mut builder = Builder::from(&loaded.config);
    let mut out = String::new();
    let rows = settings::resolved().filter_map(|setting| {
        let value = setting.print(&mut builder)?;
        Some((setting, format!("{value}{}", origin(loaded, &setting.path))))
    });
    write_settings(&mut out, "", rows);
    callbacks(loaded, &mut out);
    out
}

/// Writes settings with their descriptions and values. `prefix` stands before each line but those of descriptions.
pub(super) fn write_settings(out: &mut String, prefix: &str, rows: impl Iterator<Item = (&'static Setting, String)>) {
    let mut group: Vec<&str> = Vec::new();
    for (setting, value) in rows {
        let mut groups: Vec<_> = setting.path.split('.').collect();
        let key = groups.pop().unwrap_or_default();
        let same = groups.iter().zip(&group).take_while(|(one, other)| one == other).count();
        for (depth, name) in groups.iter().enumerate().skip(same) {
            line(out, format_args!("{prefix}{}{name}:", "  ".repeat(depth)));
        }
        let indent = "  ".repeat(groups.len());
        line(out, format_args!("{indent}# {}", setting.help));
        line(out, format_args!("{prefix}{indent}{key}: {value}"));
        group = groups;
    }
}

fn callbacks(loaded: &Loaded, out: &mut String) {
    let config = &loaded.config;
    // Callbacks of one key have the same settings.
    let mut keys = BTreeSet::new();
    for callback in Callback::all() {
        let Some(own) = config.callbacks.get(callback.command) else { continue };
        if !keys.insert(callback.config_key) {
            continue;
        }
        if keys.len() == 1 {
            line(out, format_args!("# Settings of single callbacks"));
            line(out, format_args!("callbacks:"));
        }
        let path = format!("callbacks.{}", callback.config_key);
        line(out, format_args!("  {}:", callback.config_key));
        if let Some(budget) = own.budget {
            let origin = origin(loaded, &format!("{path}.budget"));
            line(out, format_args!("    budget: {}{origin}", show_time(budget)));
        }
        if let Some(rules) = rules::print_configured(&own.on_failure) {
            let origin = origin(loaded, &format!("{path}.on_failure"));
            line(out, format_args!("    on_failure: {rules}{origin}"));
        }
    }
}

/// Returns a comment with the source of a setting; empty for a default.
fn origin(loaded: &Loaded, path: &str) -> String {
    loaded.origins.get(path).map(|origin| format!("  # {}", origin.to_string().escape_debug())).unwrap_or_default()
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
