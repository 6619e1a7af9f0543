//! Settings that only a restart can change.

use crate::config::Config;

/// Keeps the present values of settings that only a restart can change. Returns the names of those that differ.
pub(super) fn keep_restart_only(before: &Config, now: &mut Config) -> Vec<&'static str> {
    // All fields are named, so that a new setting is not forgotten: it is restart-only, read again when it is used, or
    // applied by a subscriber.
    let Config {
        listen,
        admin_listen,
        policy,
        builtin_listen,
        threads,
        traces,
        data,
        after,
        admin_hosts: _,
        log: _,
        budget: _,
        on_failure: _,
        callbacks: _,
        denial: _,
        access: _,
        tls: _,
        policy_tls: _,
        limits: _,
        channel: _,
        drain: _,
        decisions: _,
        openim: _,
    } = now;
    let mut kept = Vec::new();
    keep("listen", &before.listen, listen, &mut kept);
    keep("admin_listen", &before.admin_listen, admin_listen, &mut kept);
    keep("threads", &before.threads, threads, &mut kept);
    keep("traces", &before.traces, traces, &mut kept);
    keep("data", &before.data, data, &mut kept);
    keep("after", &before.after, after, &mut kept);
    match (&before.policy, &*policy) {
        (Some(_), Some(_)) => {}
        (None, None) => keep("builtin_listen", &before.builtin_listen, builtin_listen, &mut kept),
        _ => {
            keep("policy", &before.policy, policy, &mut kept);
            *builtin_listen = before.builtin_listen;
        }
    }
    kept
}

fn keep<T: PartialEq + Clone>(path: &'static str, before: &T, now: &mut T, kept: &mut Vec<&'static str>) {
    if now != before {
        now.clone_from(before);
        kept.push(path);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::keep_restart_only;
    use crate::config::{Config, Options, all_settings};

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: Options,
    }

    fn load(yaml: &str) -> Config {
        let options = CommandLine::parse_from(["hookgate", "--policy", "builtin", "--config", "c.yaml"]).options;
        let loaded = Config::load_from(&options, &|_| Ok(yaml.to_owned()));
        loaded.unwrap_or_else(|report| panic!("{report}\n{yaml}")).config
    }

    #[test]
    fn settings_that_need_a_restart_are_kept() {
        let mut checked = 0;
        for setting in all_settings() {
            let value = match setting.kind {
                "time" | "time or 0s" | "each, off or time" => "7s",
                "size" => "30MiB",
                "count" => "7",
                "fraction" => "0.7",
                "address" | "address or unix:// path" => "127.0.0.1:7",
                "path" if setting.path == "data" => "/other",
                "URL" => "http://collector:4317",
                "log levels" => "warn",
                "refuse or drop_dead" => "drop_dead",
                _ => continue,
            };
            if setting.path.starts_with("openim.") {
                continue;
            }
            // Some settings have no effect without these.
            let mut before = "decisions: {to: stdout}\ndata: /data\n".to_owned();
            before = before.replace("data: /data\n", if setting.path == "data" { "" } else { "data: /data\n" });
            let now = match setting.path.split_once('.') {
                Some(("decisions", key)) => before.replace("to:", &format!("{key}: {value}, to:")),
                Some((group, key)) => format!("{before}{group}: {{{key}: {value}}}\n"),
                None => format!("{before}{}: {value}\n", setting.path),
            };
            let kept = keep_restart_only(&load(&before), &mut load(&now));
            assert_eq!(!kept.is_empty(), setting.needs_restart, "{}: {kept:?}", setting.path);
            checked += 1;
        }
        assert!(checked > 35, "{checked}");
    }
}
