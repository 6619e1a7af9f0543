//! Prints a configuration as a file that `--config` reads back, and a file to start from.

use std::collections::BTreeSet;

use super::load::Loaded;
use super::report::Origin;
use super::settings::{self, Setting};
use super::value::quoted;
use crate::contract::Callback;

const HEAD: &str = "\
# The configuration of hookgate: every setting with its default. To change one, remove the # before it and before its group.
# hookgate config check --config FILE checks this file; hookgate config print shows the configuration that results.

";

/// Prints a configuration as YAML, with the description of every setting, and its source if it is not a default.
pub fn print(loaded: &Loaded) -> String {
    let with_origin = |value: String, path: &str| match loaded.origins.get(path) {
        Some(origin) => format!("{value}  # {}", plain(origin)),
        None => value,
    };
    let mut out = String::new();
    let rows = settings::resolved(&loaded.config)
        .filter_map(|(setting, value)| Some((setting, with_origin(value?, &setting.path))));
    write_settings(&mut out, |_| "", rows);
    print_policies(loaded, &mut out);
    for (index, route) in loaded.config.routes.all().iter().enumerate() {
        if index == 0 {
            out += "# Routes\nroutes:\n";
        }
        out += &format!("  - {}\n", with_origin(route.text.clone(), &format!("routes[{index}]")));
    }
    let mut last = "";
    for Own { callback, setting, value, path } in of_callbacks(loaded) {
        if last.is_empty() {
            out += "# Settings of single callbacks\ncallbacks:\n";
        }
        if last != callback.config_key {
            out += &format!("  {}:\n", callback.config_key);
            last = callback.config_key;
        }
        out += &format!("    {setting}: {}\n", with_origin(value, &path));
    }
    out
}

/// Prints the named policies, each with the settings that are not the top level's.
fn print_policies(loaded: &Loaded, out: &mut String) {
    for (index, policy) in loaded.config.policies.iter().enumerate() {
        if index == 0 {
            *out += "# Named policies\npolicies:\n";
        }
        *out += &format!("  {}:\n", policy.name);
        let mut last = "";
        for (setting, value) in policy.own_settings(&loaded.config) {
            let (group, key) = setting.path.split_once('.').unwrap_or(("", &setting.path));
            if !group.is_empty() && last != group {
                *out += &format!("    {group}:\n");
            }
            last = group;
            let indent = if group.is_empty() { "" } else { "  " };
            *out += &format!("    {indent}{key}: {value}\n");
        }
        for (index, (name, file)) in policy.metadata_files.iter().enumerate() {
            if index == 0 {
                *out += "    metadata:\n";
            }
            *out += &format!("      {name}: {}\n", quoted(&file.display().to_string()));
        }
    }
}

/// Lists every setting with its source and its value as YAML, and the settings of single callbacks.
pub(crate) fn list(loaded: &Loaded) -> Vec<[String; 3]> {
    let mut config = loaded.config.clone();
    // Rules by class are part of on_failure.
    let general = settings::general().iter().filter(|setting| !setting.path.starts_with("on_failure."));
    let rows = general.map(|setting| (setting.path.clone(), (setting.print)(&mut config)));
    let own = of_callbacks(loaded).into_iter().map(|Own { path, value, .. }| (path, Some(value)));
    let routes = loaded.config.routes.all().iter().enumerate();
    let routes = routes.map(|(index, route)| (format!("routes[{index}]"), Some(route.text.clone())));
    let policies = loaded.config.policies.iter().flat_map(|policy| {
        let rows = policy.own_settings(&loaded.config).into_iter();
        let rows = rows.map(|(setting, value)| (format!("policies.{}.{}", policy.name, setting.path), Some(value)));
        let metadata = policy.metadata_files.iter().map(|(name, file)| {
            (format!("policies.{}.metadata.{name}", policy.name), Some(quoted(&file.display().to_string())))
        });
        rows.chain(metadata).collect::<Vec<_>>()
    });
    rows.chain(policies)
        .chain(routes)
        .chain(own)
        .map(|(path, value)| {
            let origin = loaded.origins.get(&path).map_or_else(|| "default".to_owned(), plain);
            [path, origin, value.unwrap_or_else(|| "-".to_owned())]
        })
        .collect()
}

/// Returns a file with every setting as a comment. It chooses the built-in policy.
pub(crate) fn init() -> String {
    let mut out = HEAD.to_owned();
    let rows = settings::general().iter().filter(|setting| !setting.path.starts_with("on_failure."));
    // A setting without a default is shown with its kind.
    let rows = rows.map(|setting| (setting, setting.default.clone().unwrap_or_else(|| format!(" # {}", setting.kind))));
    write_settings(&mut out, |path| if path == "policy" { "" } else { "#" }, rows);
    let callback = Callback::all()[0].config_key;
    out += "# Several policies, in place of policy; each is asked about what routes say\n";
    out += "# policies: {words: {url: \"http://words:50051\"}, friends: {url: \"http://friends:50051\"}}\n";
    out += "# Webhooks, and the policies that are asked about them\n";
    out += &format!("#routes:\n#  - {{callbacks: [{callback}], ask: none}}\n");
    out += &format!("# Settings of single callbacks\n#callbacks:\n#  {callback}: {{budget: 2s, on_failure: allow}}\n");
    let ordered = Callback::all().iter().find(|callback| !callback.ordered_by.is_empty());
    out + &ordered.map(|callback| format!("#  {}: {{order: none}}\n", callback.config_key)).unwrap_or_default()
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

/// A setting of a single callback.
struct Own {
    callback: &'static Callback,
    setting: &'static str,
    value: String,
    /// The path, by the key that the file has for the callback.
    path: String,
}

/// Returns the settings of single callbacks. Those of one key have the same settings, which are returned once.
fn of_callbacks(loaded: &Loaded) -> Vec<Own> {
    let (mut keys, mut all) = (BTreeSet::new(), Vec::new());
    for callback in Callback::all() {
        let Some(mut own) = loaded.config.callbacks.get(callback.command).cloned() else { continue };
        if !keys.insert(callback.config_key) {
            continue;
        }
        for setting in settings::of_callback().iter().filter(|setting| !setting.path.contains('.')) {
            if let Some(value) = (setting.print)(&mut own) {
                let path = loaded.callback_path(callback, &setting.path);
                let path = path.unwrap_or_else(|| format!("callbacks.{}.{}", callback.config_key, setting.path));
                all.push(Own { callback, setting: &setting.path, value, path });
            }
        }
    }
    all
}

/// Returns the source of a setting on one line.
fn plain(origin: &Origin) -> String {
    origin.to_string().escape_debug().to_string()
}
