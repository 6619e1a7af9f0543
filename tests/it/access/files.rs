//! What is wrong with the settings of who may call, and with their files.

use hookgate::config;

use crate::support::pki::Files;

fn files() -> Files {
    Files::default()
        .with("good", "openim:MARKER\r\n\n# a comment\nopenim:other")
        .with("empty", "\n# nothing\n")
        .with("odd-password", "openim:x\nno colon MARKER")
        .with("comment", "  # openim:MARKER\n\t#openim:MARKER\n\u{a0}# openim:MARKER")
        .with("before", "openim:x\n openim:MARKER")
        .with("behind", "openim:MARKER ")
        .with("no-password", "openim:")
        .with("control", "openim:\u{7}MARKER")
        .with("path", "a/b\n")
        .with("odd-path", "a\nMARKER path")
        .with("no-path", "//")
        .with("hole", "a//b")
        .with("escaped", "a%20b")
}

#[test]
fn each_mistake_is_one_line_that_names_the_key_and_no_secret() {
    let path = "expected a path such as s3cret or a/b, of letters, digits and - . _ ~ alone";
    let table = [
        (
            "access: {passwords: missing}",
            "access.passwords: cannot read the file that access.passwords names: not there".to_owned(),
        ),
        (
            "access: {passwords: 'openim:MARKER'}",
            "access.passwords: cannot read the file that access.passwords names: not there".to_owned(),
        ),
        ("access: {paths: MARKER}", "access.paths: cannot read the file that access.paths names: not there".to_owned()),
        (
            "policy_tls: {ca: \"-----BEGIN CERTIFICATE-----\\nMARKER\"}\npolicy: https://h",
            "policy_tls.ca: cannot read the file that policy_tls.ca names: not there".to_owned(),
        ),
        ("access: {passwords: }", "access.passwords: has no value".to_owned()),
        ("access: {paths: ~}", "access.paths: has no value".to_owned()),
        ("access: {sources: }", "access.sources: has no value".to_owned()),
        ("access:", "access: has no value".to_owned()),
        ("tls: {client_ca: null}", "tls.client_ca: has no value".to_owned()),
        ("policy_tls: {server_name: }", "policy_tls.server_name: has no value".to_owned()),
        ("access: {passwords: empty}", "access.passwords: empty: holds no line".to_owned()),
        (
            "access: {passwords: odd-password}",
            "access.passwords: odd-password: line 2: expected user:password".to_owned(),
        ),
        ("access: {passwords: comment}", "access.passwords: comment: holds no line".to_owned()),
        ("access: {paths: comment}", "access.paths: comment: holds no line".to_owned()),
        (
            "access: {passwords: before}",
            "access.passwords: before: line 2: expected user:password with no whitespace before or after it".to_owned(),
        ),
        (
            "access: {passwords: behind}",
            "access.passwords: behind: line 1: expected user:password with no whitespace before or after it".to_owned(),
        ),
        (
            "access: {passwords: no-password}",
            "access.passwords: no-password: line 1: expected user:password".to_owned(),
        ),
        ("access: {passwords: control}", "access.passwords: control: line 1: expected user:password".to_owned()),
        ("access: {paths: odd-path}", format!("access.paths: odd-path: line 2: {path}")),
        ("access: {paths: no-path}", format!("access.paths: no-path: line 1: {path}")),
        ("access: {paths: hole}", format!("access.paths: hole: line 1: {path}")),
        ("access: {paths: escaped}", format!("access.paths: escaped: line 1: {path}")),
        (
            "access: {sources: 10.0.0.0/33}",
            "access.sources: \"10.0.0.0/33\": expected an address or a range of them, as in 10.0.0.0/8 or fd00::/8"
                .to_owned(),
        ),
        (
            "access: {sources: [10.0.0.1, localhost]}",
            "access.sources: \"localhost\": expected an address or a range of them, as in 10.0.0.0/8 or fd00::/8"
                .to_owned(),
        ),
        (
            "access: {sources: \"::ffff:10.0.0.0/104\"}",
            "access.sources: \"::ffff:10.0.0.0/104\": expected an IPv4 range in its own form, as in 10.0.0.0/8"
                .to_owned(),
        ),
        ("access: {sources: []}", "access.sources: must name one at least".to_owned()),
        ("access: {sources: [[10.0.0.1]]}", "access.sources: expected a list of single values".to_owned()),
        ("access: {sources: {a: b}}", "access.sources: expected a list".to_owned()),
        (
            "access: {trusted_proxies: 10.0.0.1}",
            "access.trusted_proxies: has no effect without access.sources".to_owned(),
        ),
        (
            "access: {sources: 10.0.0.1}\nlisten: unix:///run/x.sock",
            "access.sources: has no effect on a Unix socket, which listen is: its callers have no addresses".to_owned(),
        ),
    ];
    for (yaml, expected) in table {
        let report = files().load(yaml).expect_err(yaml);
        assert_eq!(report, format!("hookgate.yaml:1: {expected}"), "{yaml}");
        assert!(!report.contains("MARKER"));
    }
}

#[test]
fn what_is_read_is_printed_without_secrets_and_compared_by_what_the_files_hold() {
    let yaml = "access: {passwords: good, paths: path, sources: [10.0.0.1/8, \"::1\"], trusted_proxies: 10.0.0.1}";
    let loaded = files().load(yaml).unwrap();
    let printed = config::print(&loaded);
    for line in [
        "  passwords: \"good\"  # hookgate.yaml:1",
        "  paths: \"path\"  # hookgate.yaml:1",
        "  sources: [\"10.0.0.0/8\", \"::1/128\"]  # hookgate.yaml:1",
        "  trusted_proxies: [\"10.0.0.1/32\"]  # hookgate.yaml:1",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
    assert!(!printed.contains("MARKER") && !format!("{loaded:?}").contains("MARKER"));
    assert_eq!(files().load(&printed).unwrap().config, loaded.config);
    let rotated = files().with("good", "openim:other\nopenim:newest").load(yaml).unwrap();
    assert_ne!(rotated.config, loaded.config);
}

#[test]
fn what_a_file_names_stands_beside_it() {
    let nested =
        Files::default().with("conf/passwords", "a:b").with("conf/hookgate.yaml", "access: {passwords: passwords}");
    let loaded = nested.load_file("conf/hookgate.yaml").unwrap();
    let access = loaded.config.access;
    assert_eq!(access.passwords.unwrap(), std::path::Path::new("conf/passwords"));
    let passwords = access.users.unwrap();
    assert_eq!(format!("{passwords:?}"), "Passwords([Secret(not shown)])");
    assert!(passwords.contain(b"a:b") && !passwords.contain(b"a:c"));
}

#[test]
fn a_listener_beyond_this_machine_that_asks_nobody_who_it_is_is_a_warning() {
    let warnings = |yaml: &str| {
        let loaded = files().load(yaml).unwrap();
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let warned = "hookgate.yaml:1: listen: ANYBODY who reaches 0.0.0.0:1 gets verdicts and feeds events: say who may call \
                  (access.passwords, access.paths, access.sources, tls.client_ca)";
    assert_eq!(warnings("listen: 0.0.0.0:1"), [warned]);
    for yaml in [
        "listen: 127.0.0.2:1",
        "listen: \"[::1]:1\"",
        "listen: unix:///run/hookgate.sock",
        "listen: 0.0.0.0:1\naccess: {passwords: good}",
        "listen: 0.0.0.0:1\naccess: {paths: path}",
        "listen: 0.0.0.0:1\naccess: {sources: 10.0.0.0/8}",
    ] {
        assert_eq!(warnings(yaml), [""; 0], "{yaml}");
    }
}

#[test]
fn openim_s_url_is_held_against_who_may_call() {
    let yaml = "openim: {webhooks: w.yml}\naccess: {passwords: good, paths: path}";
    let warnings = |url: &str| {
        let openim = format!("url: {url}\nbeforeAddFriend: {{enable: true}}");
        let loaded = files().with("w.yml", openim).load(yaml).unwrap();
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let user = "w.yml:1: url: has no user and password of access.passwords, so every webhook is refused";
    let path = "w.yml:1: url: does not begin with a path of access.paths, so every webhook is refused";
    assert_eq!(warnings("http://openim:MARKER@127.0.0.1:10006/a/b"), [""; 0]);
    assert_eq!(warnings("http://openim:M%41RKER@127.0.0.1:10006/a/b/callbackExample"), [""; 0]);
    assert_eq!(warnings("http://127.0.0.1:10006/a/b"), [user]);
    assert_eq!(warnings("http://openim:wrong@127.0.0.1:10006/a/b"), [user]);
    assert_eq!(warnings("http://openim:MARKER@127.0.0.1:10006/b"), [path]);
}

#[test]
fn a_comment_is_never_a_secret_however_it_is_indented() {
    let text = "\u{feff}# openim:out\r\n  # openim:old\r\n\t#openim:older\r\nopenim:a#b\r\nopenim:last\r";
    let files = Files::default().with("passwords", text.trim_end_matches('\r')).with("paths", " # a/old\r\na\r\n");
    let access = files.load("access: {passwords: passwords, paths: paths}").unwrap().config.access;
    let passwords = access.users.unwrap();
    for (line, good) in [
        ("openim:a#b", true),
        ("openim:last", true),
        ("  # openim:old", false),
        ("# openim:old", false),
        ("\t#openim:older", false),
        ("#openim:older", false),
    ] {
        assert_eq!(passwords.contain(line.as_bytes()), good, "{line:?}");
    }
    assert_eq!(access.secret_paths.unwrap().stripped("/a/x"), Some("/x"));
}
