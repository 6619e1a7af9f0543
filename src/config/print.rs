//! Prints a configuration as a file that `--config` reads back, and a file to start from.

use std::collections::BTreeSet;

use super::load::Loaded;
use super::settings::{self, Setting};
use crate::contract::Callback;

const HEAD: &str = "\
# The configuration of hookgate: every setting with its default. To change one, remove the # before it and before its group.
# hookgate config check --config FILE checks this file; hookgate config print shows the configuration that results.

";

/// Prints a configuration as YAML, with the description of every setting, and its source if it is not a default.
pub fn print(loaded: &Loaded) -> String {
    let mut out = String::new();
    let rows = settings::resolved(&loaded.config)
        .filter_map(|(setting, value)| Some((setting, format!("{}{}", value?, origin(loaded, &setting.path)))));
    write_settings(&mut out, |_| "", rows);
    callbacks(loaded, &mut out);
    out
}

/// Returns a file with every setting as a comment. It chooses the built-in policy.
pub(crate) fn init() -> String {
    let mut out = HEAD.to_owned();
    let rows = settings::general().iter().filter(|setting| !setting.path.starts_with("on_failure."));
    // A setting without a default is shown with its kind.
    let rows = rows.map(|setting| (setting, setting.default.clone().unwrap_or_else(|| format!(" # {}", setting.kind))));
    write_settings(&mut out, |path| if path == "policy" { "" } else { "#" }, rows);
    let callback = Callback::all()[0].config_key;
    out + &format!("# Settings of single callbacks\n#callbacks:\n#  {callback}: {{budget: 2s, on_failure: allow}}\n")
}

/// Writes settings with their descriptions and values. The prefix of a path stands before each line but the description.
fn write_settings(out: &mut String, prefix: fn(&str) -> &str, rows: impl Iterator<Item = (&'static Setting, String)>) {
    let mut group: Vec<&str> = Vec::new();
    for (setting, value) in rows {
        let prefix = prefix(&setting.path);
        let mut groups: Vec<_> = setting.path.split('.').collect();
        let key = groups.pop().unwrap_or_default();
        let same = groups.iter().zip(&group).take_while(|(one, other)| one == other).count();
        for (depth, name) in groups.iter().enumerate().skip(same) {
            *out += &format!("{prefix}{}{name}:\n", "  ".repeat(depth));
        }
        let indent = "  ".repeat(groups.len());
        *out += &format!("{indent}# {}\n", setting.help);
        *out += &format!("{prefix}{indent}{key}: {value}\n");
        group = groups;
    }
}

fn callbacks(loaded: &Loaded, out: &mut String) {
    // Callbacks of one key have the same settings.
    let mut keys = BTreeSet::new();
    for callback in Callback::all() {
        let Some(own) = loaded.config.callbacks.get(callback.command) else { continue };
        if !keys.insert(callback.config_key) {
            continue;
        }
        if keys.len() == 1 {
            *out += "# Settings of single callbacks\ncallbacks:\n";
        }
        *out += &format!("  {}:\n", callback.config_key);
        let mut own = own.clone();
        for setting in settings::of_callback().iter().filter(|setting| !setting.path.contains('.')) {
            if let Some(value) = (setting.print)(&mut own) {
                let origin = loaded.callback_path(callback, &setting.path).map(|path| origin(loaded, &path));
                *out += &format!("    {}: {value}{}\n", setting.path, origin.unwrap_or_default());
            }
        }
    }
}

/// Returns a comment with the source of a setting; empty for a default.
fn origin(loaded: &Loaded, path: &str) -> String {
    loaded.origins.get(path).map(|origin| format!("  # {}", origin.to_string().escape_debug())).unwrap_or_default()
}
