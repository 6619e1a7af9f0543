//! The reference of the configuration, from the declarations of the settings.

use std::fmt::Write;

use hookgate::config::{Setting, all_settings, callback_settings, flag_name, policy_settings, variable};

const HEAD: &str = "\
# Configuration

Every setting of `hookgate.yaml`. The file is named by `--config FILE` or `HOOKGATE_CONFIG`; the settings with a flag can be
given without a file. Sources, from the weakest to the strongest: defaults, OpenIM's `webhooks.yml` (`openim.webhooks`),
`hookgate.yaml`, variables, flags.

- `hookgate config init` writes a file with every setting as a comment.
- `hookgate config check` reports all mistakes at once, with file and line.
- `hookgate config print` prints the resolved configuration, with the source of each setting.
- [`hookgate.schema.json`](../hookgate.schema.json) is a JSON Schema of the file, for editors: put
  `# yaml-language-server: $schema=PATH` in its first line.

A **reload** happens on SIGHUP, and when the file or one that it names has changed. It applies all of the new configuration,
or nothing if it has a mistake. A setting with `restart` keeps its value until hookgate is restarted.

| type | example |
|---|---|
| time | `800ms`, `5s`, `1m`, `1h`; from 1 ns to a year |
| time or 0s | a time, or `0s` |
| size | `64KiB`, `1MiB`, `2GB` |
| fraction | `0.1`; from 0 to 1 |
| count | a whole number from 1 on |
| address | `127.0.0.1:50051` |
| address or unix:// path | `127.0.0.1:10006`, `\"[::1]:10006\"`, `unix:///run/hookgate.sock` |
| path | `passwords`; relative to the folder of the file, on the command line to the working directory |
| network | `10.0.0.0/8`, `fd00::/8`, `192.0.2.1` |
| log levels | `info`, `debug,h2=info` |
| failure rules | `deny`, `allow`, `{default: deny, unavailable: allow}`, on the command line `unavailable=allow,deadline=allow` |
| list of … | `[a, b]`, or `a,b` |
";

const ROUTES: &str = "
## routes

A list of [routes](../operations/routes.md). A webhook takes the first one that matches; a reload takes changes.

| key | type | |
|---|---|---|
| `name` | text | Name in logs; decides whom `percent` takes, which needs it. |
| `callbacks` | list of keys | Callbacks by their keys in OpenIM's `webhooks.yml`, in which `*` stands for any letters, or by their commands. Left out: all. |
| `timing` | before or after | The callbacks of that timing alone. |
| `when` | conditions | Conditions on fields of the request, all of which must hold. |
| `percent` | number | Part of the values of `by` that the route takes, above 0 and up to 100. |
| `by` | field | Field whose value decides. Needs `percent` or `cohort`. |
| `cohort` | path | File of values of `by` that the route takes. |
| `policies` | list of names | Policies that are asked, in their order. Left out: the only one. |
| `ask` | all, chain or none | Way in which several policies are asked: at once, or one after another. `none` allows without asking, and needs `callbacks` or `timing`. |
| `shadow` | name | Policy that is asked beside them and compared; `{policy: NAME, events: true}` sends it After events too. |
| `guard` | bounds | `{differences: 2%, failures: 0.5%, p99: 200ms, least: 500}`: bounds over which a route with `percent` and `shadow` is left. |
";

const POLICIES: &str = "
## policies.NAME

[Named policies](../operations/several-policies.md), in place of `policy`. Names have 1 to 32 lower-case letters, digits, - and _. Which there
are takes a restart. `metadata` holds names of metadata with the files of their values, each of one line: `{authorization: token.txt}`.
";

const CALLBACKS: &str = "
## callbacks.NAME

Settings of single callbacks, by their key in OpenIM's `webhooks.yml`, today's or an older one (`hookgate callbacks` lists them).
They override those of all callbacks. Failure rules apply to Before callbacks only, `order` to After callbacks that are
\"in order by\" something in [the contract](contract/README.md).
";

/// Returns the page.
pub fn page() -> String {
    let mut out = HEAD.to_owned();
    let mut group = None;
    for setting in all_settings() {
        let its = setting.path.split_once('.').map_or("", |(group, _)| group);
        if group != Some(its) && (its != "on_failure" || group != Some("")) {
            let title = if its.is_empty() { "Top level" } else { its };
            let _ = writeln!(out, "\n## {title}\n");
            table(&mut out);
            group = Some(its);
        }
        row(&mut out, setting);
    }
    out.push_str(POLICIES);
    out.push('\n');
    table(&mut out);
    policy_settings().iter().for_each(|setting| row(&mut out, setting));
    out.push_str(ROUTES);
    out.push_str(CALLBACKS);
    out.push('\n');
    table(&mut out);
    callback_settings().iter().for_each(|setting| row(&mut out, setting));
    out
}

fn table(out: &mut String) {
    out.push_str("| key | type | default | reload | |\n|---|---|---|---|---|\n");
}

fn row<B: 'static>(out: &mut String, setting: &Setting<B>) {
    let list = if setting.is_list { "list of " } else { "" };
    let mut default = setting.default.as_ref().map(|default| format!("`{default}`")).unwrap_or_default();
    if let Some(on_disk) = setting.default_on_disk {
        // A cluster has a default of its own for this one; the help says it.
        let stores = if setting.path == "after.bytes" { "data" } else { "data or after.store" };
        let _ = write!(default, ", with {stores} `{on_disk}`");
    }
    let reload = if setting.needs_restart { "restart" } else { "yes" };
    let mut words = format!("{}.", setting.help);
    if let Some(needed) = setting.needs {
        let _ = write!(words, " Needs `{needed}`.");
    }
    if let Some(value) = setting.value_name {
        let _ = write!(words, " Flag `{} {value}`, variable `{}`.", flag_name(&setting.path), variable(&setting.path));
    }
    let words = words.replace('|', "\\|");
    let _ = writeln!(out, "| `{}` | {list}{} | {default} | {reload} | {words} |", setting.path, setting.kind);
}
