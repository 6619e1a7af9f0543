//! Variables that are set and empty, and those that are no flags.

use std::process::Output;

use super::command_line::hookgate;

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
