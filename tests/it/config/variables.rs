//! Variables that are set and empty, and those that are no flags.

use std::process::Output;

use super::command_line::hookgate;
use crate::support::file;

fn check(variable: &str, value: &str) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = hookgate(&["config", "check"], &[(variable, value)]);
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn an_empty_variable_is_an_unset_one_unless_its_absence_opens_something() {
    for name in [
        "LISTEN",
        "ADMIN_LISTEN",
        "BUILTIN_LISTEN",
        "THREADS",
        "LOG",
        "BUDGET",
        "OPENIM_WEBHOOKS",
        "DATA",
        "DRAIN_TIME",
        "LISTN",
        "POLICY_PORT",
    ] {
        assert_eq!(check(&format!("HOOKGATE_{name}"), ""), (Some(0), String::new()), "{name}");
    }
    let empty = "is set, but empty; give it a value, or unset it";
    let of_file = |path: &str| format!("no such variable; {path} stands in the file that --config names");
    for (name, expected) in [
        ("POLICY", empty.to_owned()),
        ("CONFIG", empty.to_owned()),
        ("ON_FAILURE", empty.to_owned()),
        ("ON_FAILURE_DEADLINE", of_file("on_failure.deadline")),
        ("ACCESS_PASSWORDS", of_file("access.passwords")),
        ("ACCESS_SOURCES", of_file("access.sources")),
        ("TLS_CERTIFICATE", of_file("tls.certificate")),
        ("TLS_CLIENT_CA", of_file("tls.client_ca")),
        ("POLICY_TLS_CA", of_file("policy_tls.ca")),
        ("POLCY", "no such variable; did you mean HOOKGATE_POLICY?".to_owned()),
    ] {
        let name = format!("HOOKGATE_{name}");
        assert_eq!(check(&name, ""), (Some(2), format!("{name}: {expected}\n")));
    }
}

#[test]
fn a_variable_of_a_setting_that_has_none_is_not_passed_over() {
    for (name, path) in [("ACCESS_PATHS", "access.paths"), ("LIMITS_BODY", "limits.body"), ("TLS_KEY", "tls.key")] {
        let name = format!("HOOKGATE_{name}");
        let expected = format!("{name}: no such variable; {path} stands in the file that --config names\n");
        assert_eq!(check(&name, "/x"), (Some(2), expected));
    }
    // Kubernetes sets these for services that are called hookgate, hookgate-admin, hookgate-policy and hookgate-tls.
    for name in
        ["PORT", "SERVICE_HOST", "ADMIN_PORT", "ADMIN_SERVICE_HOST", "POLICY_PORT", "TLS_PORT", "TLS_SERVICE_HOST"]
    {
        assert_eq!(check(&format!("HOOKGATE_{name}"), "tcp://10.0.0.1:1"), (Some(0), String::new()), "{name}");
    }
}

#[test]
fn openim_s_variables_stand_in_place_of_its_file() {
    let text = "url: http://127.0.0.1:10006\nbeforeAddFriend: {enable: false, timeout: 5, failedContinue: }\n\
                afterAddFriend: {enable: true, timeout: 5, attentionIds: []}\n";
    let openim = file("variables-webhooks.yml", text);
    let elsewhere = "leads to port 1, but hookgate listens on 127.0.0.1:10006";
    let without_key = "has no effect: OpenIM reads it only if webhooks.yml has the key that it is named after";
    for (name, value, code, expected) in [
        ("URL", "http://me:MARKER@127.0.0.1:10006", 0, None),
        ("URL", "http://me:MARKER@127.0.0.1:1/MARKER", 0, Some(elsewhere)),
        ("URL", "", 0, None),
        ("AFTERADDFRIEND_ENABLE", "false", 0, Some("no callback is enabled; OpenIM asks nothing by this file")),
        ("AFTERADDFRIEND_ATTENTIONIDS", "u1,u2", 0, None),
        ("BEFOREADDFRIEND_TIMEOUT", "9", 0, None),
        ("BEFOREADDFRIEND_TIMEOUT", "9s", 2, Some("\"9s\": expected a whole number of seconds")),
        ("BEFOREADDFRIEND_ENABLE", "maybe", 2, Some("expected true or false")),
        ("BEFOREADDBLACK_ENABLE", "true", 0, Some(without_key)),
        ("BEFOREADDFRIEND_DENIEDTYPES", "101", 0, Some(without_key)),
        ("beforeAddFriend_timeout", "9", 0, Some(without_key)),
    ] {
        let variable = format!("IMENV_WEBHOOKS_{name}");
        let args = ["config", "check", "--openim-webhooks", &openim];
        let Output { status, stderr, .. } = hookgate(&args, &[(&variable, value)]);
        let said = String::from_utf8(stderr).unwrap();
        let what = said.trim_end().rsplit_once(&format!("{variable}: ")).map(|(_, what)| what);
        let what = what.or_else(|| said.trim_end().rsplit_once(&format!("{openim}: ")).map(|(_, what)| what));
        assert_eq!((status.code(), what), (Some(code), expected), "{variable}={value}: {said}");
        assert!(said.lines().count() <= 1 && !said.contains("MARKER"), "{said}");
    }
    let variables =
        [("IMENV_WEBHOOKS_BEFOREADDFRIEND_TIMEOUT", "9"), ("IMENV_WEBHOOKS_BEFOREADDFRIEND_FAILEDCONTINUE", "1")];
    let yaml = format!("policy: builtin\nopenim: {{webhooks: {openim}, honour_failed_continue: true}}\n");
    let yaml = file("variables.yaml", yaml);
    let Output { stdout, .. } = hookgate(&["config", "print", "--config", &yaml], &variables);
    let printed = String::from_utf8(stdout).unwrap();
    for line in ["budget: 8500ms  # IMENV_WEBHOOKS_BEFOREADDFRIEND_TIMEOUT", "on_failure: allow"] {
        assert!(printed.lines().any(|printed| printed.trim_start().starts_with(line)), "{line}\n{printed}");
    }
}
