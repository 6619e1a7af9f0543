//! A configuration file to start from.

use super::print::write_settings;
use super::settings;
use crate::contract::Callback;

const HEAD: &str = "\
# The configuration of hookgate: every setting with its default. To change one, remove the # before it and before its group.
# hookgate config check --config FILE checks this file; hookgate config print shows the configuration that results.

";

/// Returns a file with every setting as a comment. It chooses the built-in policy.
pub(crate) fn init() -> String {
    let mut out = HEAD.to_owned();
    let is_policy = |path: &str| path == "policy";
    let rows = |policy: bool| {
        let rows = settings::general().iter().filter(|setting| !setting.path.starts_with("on_failure."));
        let rows = rows.filter(move |setting| is_policy(&setting.path) == policy);
        // A setting without a default is shown with its kind.
        rows.map(|setting| (setting, setting.default.clone().unwrap_or_else(|| format!(" # {}", setting.kind))))
    };
    write_settings(&mut out, "", rows(true));
    write_settings(&mut out, "#", rows(false));
    let callback = Callback::all()[0].config_key;
    out + &format!("# Settings of single callbacks\n#callbacks:\n#  {callback}: {{budget: 2s, on_failure: allow}}\n")
}
