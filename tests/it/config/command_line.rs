//! The command line and the environment, from the program as people start it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use hookgate::config::{Config, Routes, all_settings};

use super::load;
use crate::support::{file, program};

pub fn hookgate(args: &[&str], variables: &[(&str, &str)]) -> Output {
    program::hookgate(args).as_std_mut().envs(variables.iter().copied()).output().unwrap()
}

fn said(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_mistake_on_the_command_line_is_one_line_with_its_flag() {
    let table: [(&[&str], &str); 8] = [
        (&["--budget", "5"], "--budget: \"5\": a time needs a unit, as in 800ms, 5s, 1m or 1h"),
        (
            &["--policy", "ftp://p"],
            "--policy: expected a host and a port, as in policy:50051, http://policy:50051 or https://policy:50051, or a socket's path, as in unix:///run/policy.sock",
        ),
        (
            &["--policy", ""],
            "--policy: expected a host and a port, as in policy:50051, http://policy:50051 or https://policy:50051, or a socket's path, as in unix:///run/policy.sock",
        ),
        (
            &["--on-failure", "deadlin=allow"],
            "--on-failure: \"deadlin\": no such class of failure; expected default, \
          unavailable, deadline, overloaded, unimplemented, error, invalid_reply",
        ),
        (&["--on-failure", "deadline=allow,deadline=deny"], "--on-failure: deadline is given twice"),
        (
            &["--policy", "http://p", "--builtin-listen", "127.0.0.1:1"],
            "--builtin-listen: has no effect, since policy names another to ask",
        ),
        (&["--config", "x.yaml"], "--config: cannot read x.yaml: not there"),
        (&["--openim-webhooks", "x.yml"], "--openim-webhooks: cannot read x.yml: not there"),
    ];
    for (args, expected) in table {
        assert_eq!(load(args, &[]).expect_err(expected), expected);
    }
}

#[test]
fn config_check_says_ok_or_what_is_wrong() {
    let good = hookgate(&["config", "check"], &[]);
    assert_eq!((good.status.code(), said(&good.stdout), said(&good.stderr)), (Some(0), "ok\n", ""));

    let openim = file("odd-webhooks.yml", b"url: http://127.0.0.1:1\nbeforeAddFriend: {enable: true}");
    let odd = hookgate(&["config", "check", "--openim-webhooks", &openim], &[]);
    let warning = format!("warning: {openim}:1: url: leads to port 1, but hookgate listens on 127.0.0.1:10006\n");
    assert_eq!((odd.status.code(), said(&odd.stdout), said(&odd.stderr)), (Some(0), "ok\n", &*warning));

    let yaml = file("bad.yaml", b"listn: 1\nbudget: 1\npolicy: builtin");
    let expected = format!(
        "HOOKGATE_POLCY: no such variable; did you mean HOOKGATE_POLICY?\n\
         {yaml}:1: listn: no such key; did you mean listen?\n\
         {yaml}:2: budget: \"1\": a time needs a unit, as in 800ms, 5s, 1m or 1h\n\
         HOOKGATE_LOG: \"loud\": expected error, warn, info, debug, trace or off, or a list as in info,h2=debug\n"
    );
    let variables = [
        ("HOOKGATE_CONFIG", &*yaml),
        ("HOOKGATE_LOG", "loud"),
        ("HOOKGATE_POLCY", "http://policy:1"),
        ("HOOKGATE_PORT", "tcp://10.0.0.1:1"),
    ];
    // Whatever would run with it says the same, and starts nothing.
    for args in [&["config", "check"] as &[&str], &["config", "print"], &["serve"], &[]] {
        let bad = hookgate(args, &variables);
        assert_eq!((bad.status.code(), said(&bad.stdout), said(&bad.stderr)), (Some(2), "", &*expected), "{args:?}");
    }
}

#[test]
fn the_environment_goes_before_the_file_and_behind_flags() {
    let yaml = file(
        "order.yaml",
        b"budget: 1s\nlog: error\non_failure: {default: allow, error: deny}\nlisten: 127.0.0.1:1\npolicy: builtin",
    );
    let variables = [
        ("HOOKGATE_CONFIG", &*yaml),
        ("HOOKGATE_BUDGET", "2s"),
        ("HOOKGATE_LOG", "warn"),
        ("HOOKGATE_ON_FAILURE", "unavailable=allow"),
        ("HOOKGATE_ADMIN_LISTEN", "127.0.0.1:3"),
        ("HOOKGATE_BUILTIN_LISTEN", "127.0.0.1:4"),
    ];
    let printed = hookgate(&["config", "print", "--log", "debug"], &variables);
    let printed = said(&printed.stdout);
    let from_file = format!("listen: \"127.0.0.1:1\"  # {yaml}:4");
    for line in [
        &*from_file,
        "budget: 2s  # HOOKGATE_BUDGET",
        "log: \"debug\"  # --log",
        "on_failure: {default: deny, unavailable: allow}  # HOOKGATE_ON_FAILURE",
        "admin_listen: \"127.0.0.1:3\"  # HOOKGATE_ADMIN_LISTEN",
        "builtin_listen: \"127.0.0.1:4\"  # HOOKGATE_BUILTIN_LISTEN",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
}

#[test]
fn what_cannot_be_read_is_exit_code_2() {
    let large = file("large.yaml", " ".repeat((1 << 20) + 1));
    let largest = file("largest.yaml", " ".repeat(1 << 20));
    let binary = file("binary.yaml", b"\xff\xfe");
    let missing = concat!(env!("CARGO_TARGET_TMPDIR"), "/missing.yaml");
    for (path, why) in [
        (&*large, "more than 1MiB"),
        (&binary, "not UTF-8"),
        (missing, "No such file or directory (os error 2)"),
        (env!("CARGO_TARGET_TMPDIR"), "Is a directory (os error 21)"),
    ] {
        for option in ["--config", "--openim-webhooks"] {
            let output = hookgate(&["config", "check", option, path], &[]);
            let expected = format!("{option}: cannot read {path}: {why}\n");
            assert_eq!((output.status.code(), said(&output.stderr)), (Some(2), &*expected));
        }
    }
    assert!(hookgate(&["config", "check", "--policy", "builtin", "--config", &largest], &[]).status.success());
}

#[test]
fn help_shows_the_defaults_that_are_in_force() {
    for command in [&["--help"] as &[&str], &["serve", "--help"], &["config", "print", "--help"]] {
        let help = hookgate(command, &[]);
        let help = said(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "[default: 127.0.0.1:10006] [env: HOOKGATE_LISTEN=]",
            "[default: 127.0.0.1:10007] [env: HOOKGATE_ADMIN_LISTEN=]",
            "[default: 127.0.0.1:50051] [env: HOOKGATE_BUILTIN_LISTEN=]",
            "[default: 4500ms] [env: HOOKGATE_BUDGET=]",
            "[default: deny] [env: HOOKGATE_ON_FAILURE=]",
            "[default: info] [env: HOOKGATE_LOG=]",
            "[env: HOOKGATE_POLICY=]",
            "[env: HOOKGATE_CONFIG=]",
            "[env: HOOKGATE_OPENIM_WEBHOOKS=]",
        ] {
            assert!(help.contains(part), "{part}\n{help}");
        }
    }
}

/// Removes the # before every setting that has a value, and before its group; descriptions stay comments.
fn uncommented(init: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        // Nothing in these groups has a default, and they must not be empty.
        Some("access:" | "tls:" | "policy_tls:") => String::new(),
        Some(setting) if setting.contains(":  # ") => String::new(),
        Some(setting) if setting.starts_with("  ") || setting.starts_with(|c: char| c.is_ascii_lowercase()) => {
            setting.to_owned()
        }
        _ => line.to_owned(),
    };
    init.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn config_init_writes_a_file_to_start_from_and_overwrites_none() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("init.yaml");
    let name = path.to_str().unwrap();
    let _ = std::fs::remove_file(&path);
    let first = hookgate(&["config", "init", name], &[]);
    assert_eq!((first.status.code(), said(&first.stderr)), (Some(0), ""));
    let again = hookgate(&["config", "init", name], &[]);
    let expected = format!("hookgate: cannot write {name}: File exists (os error 17)\n");
    assert_eq!((again.status.code(), said(&again.stderr)), (Some(2), &*expected));

    let checked = hookgate(&["config", "check", "--config", name], &[]);
    assert_eq!((checked.status.code(), said(&checked.stdout), said(&checked.stderr)), (Some(0), "ok\n", ""));
    // Without any #, it has every default, and examples of a callback's settings.
    let text = std::fs::read_to_string(&path).unwrap();
    let all = uncommented(&text);
    let loaded =
        load(&["--config", "all.yaml"], &[("all.yaml", &all)]).unwrap_or_else(|report| panic!("{report}\n{all}"));
    assert_eq!(loaded.config.callbacks.len(), 2, "{all}");
    assert_eq!(loaded.config.routes.all().len(), 1, "{all}");
    let config = Config { callbacks: BTreeMap::new(), routes: Routes::default(), ..loaded.config };
    assert_eq!(config, Config::default(), "{all}");
    for setting in all_settings().iter().filter(|setting| !setting.path.starts_with("on_failure.")) {
        assert!(text.contains(&setting.help), "{}", setting.path);
    }
}

#[test]
fn completions_name_the_commands_and_their_flags() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let completions = hookgate(&["completions", shell], &[]);
        for word in ["verify", "admin-listen"] {
            assert!(said(&completions.stdout).contains(word), "{shell}: {word}");
        }
    }
}
