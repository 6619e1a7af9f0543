//! What is in force, as a file that `--config` reads back.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::draft::Draft;
use super::load::Loaded;
use super::value::show_time;
use super::{rules, settings};
use crate::contract::Callback;

/// Writes a configuration as YAML, with the words of every setting, and with who said it where it is not a default.
pub fn print(loaded: &Loaded) -> String {
    let mut draft = Draft::of_settled(&loaded.config);
    let mut out = String::new();
    let mut group = String::new();
    for setting in settings::settled() {
        let Some(value) = setting.show(&mut draft) else { continue };
        let (groups, key) = setting.path.rsplit_once('.').unwrap_or(("", &setting.path));
        if groups != group {
            let mut indent = String::new();
            let mut parents = group.split('.');
            let mut same = true;
            for name in groups.split('.').filter(|name| !name.is_empty()) {
                same = same && parents.next() == Some(name);
                if !same {
                    line(&mut out, format_args!("{indent}{name}:"));
                }
                indent.push_str("  ");
            }
            groups.clone_into(&mut group);
        }
        let indent = "  ".repeat(setting.path.matches('.').count());
        line(&mut out, format_args!("{indent}# {}", setting.words));
        line(&mut out, format_args!("{indent}{key}: {value}{}", said(loaded, &setting.path)));
    }
    callbacks(loaded, &mut out);
    out
}

fn callbacks(loaded: &Loaded, out: &mut String) {
    let config = &loaded.config;
    // Callbacks of one key have one handling.
    let mut keys = BTreeSet::new();
    for callback in Callback::all() {
        let Some(own) = config.callbacks.get(callback.command) else { continue };
        if !keys.insert(callback.config_key) {
            continue;
        }
        if keys.len() == 1 {
            line(out, format_args!("# The callbacks that are handled in a way of their own"));
            line(out, format_args!("callbacks:"));
        }
        let path = format!("callbacks.{}", callback.config_key);
        line(out, format_args!("  {}:", callback.config_key));
        if let Some(budget) = own.budget {
            let said = said(loaded, &format!("{path}.budget"));
            line(out, format_args!("    budget: {}{said}", show_time(budget)));
        }
        if let Some(rules) = rules::show_said(&own.on_failure) {
            let said = said(loaded, &format!("{path}.on_failure"));
            line(out, format_args!("    on_failure: {rules}{said}"));
        }
    }
}

/// A comment that names who said a value.
fn said(loaded: &Loaded, path: &str) -> String {
    loaded.origins.get(path).map(|origin| format!("  # {}", origin.to_string().escape_debug())).unwrap_or_default()
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Nothing fails that is written to a string.
    let _ = writeln!(out, "{text}");
}
