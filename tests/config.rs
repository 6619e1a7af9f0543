//! The configuration: what each source may say, who goes before whom, and every mistake in one line.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use clap::Parser;
use hookgate::callback::Callback;
use hookgate::config::{self, Config, Handling, Loaded, Options, PolicyService, Rule};
use hookgate::error::Class;
use proptest::prelude::*;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

/// Reads the configuration where these are all the files there are.
fn load(args: &[&str], files: &[(&str, &str)]) -> Result<Loaded, String> {
    let options = CommandLine::parse_from([&["hookgate"], args].concat()).options;
    let text_of = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| (*text).to_owned()).ok_or_else(|| format!("cannot read {}: not there", path.display()))
    };
    Config::load_from(&options, &text_of).map_err(|report| report.to_string())
}

/// With a `hookgate.yaml` alone.
fn load_yaml(text: &str) -> Result<Loaded, String> {
    load(&["--config", "hookgate.yaml"], &[("hookgate.yaml", text)])
}

/// With OpenIM's file alone.
fn load_openim(text: &str) -> Result<Loaded, String> {
    load(&["--openim-webhooks", "webhooks.yml"], &[("webhooks.yml", text)])
}

fn lines(findings: &[config::Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// The handling of the callback with a command.
fn handling<'a>(config: &'a Config, command: &str) -> &'a Handling {
    config.handling(Callback::by_command(command).expect("a command"))
}

fn millis(config: &Config, command: &str) -> u128 {
    handling(config, command).budget.as_millis()
}

const SINGLE: &str = "callbackBeforeSendSingleMsgCommand";
const FRIEND: &str = "callbackBeforeAddFriendCommand";

#[test]
fn each_mistake_in_the_file_is_one_line_with_path_and_line() {
    let table = [
        // Keys.
        ("listn: 127.0.0.1:1", "1: listn: no such key; did you mean listen?"),
        ("admin-listen: 127.0.0.1:1", "1: admin-listen: no such key; did you mean admin_listen?"),
        ("\n\ndrain:\n  grace: 5s", "4: drain.grace: no such key; expected delay, time"),
        ("listen:\nlisten:", "2: listen: given twice; it is on line 1 too"),
        ("limits: 5", "1: limits: expected keys with values: body, reply, calls, connections"),
        (
            "- a",
            "1: expected keys with values: listen, admin_listen, policy, builtin_listen, threads, log, budget, on_failure, \
          openim, denial, limits, access, tls, policy_tls, channel, data, after, drain, traces, decisions, callbacks",
        ),
        ("budget: [1s]", "1: budget: expected a single value"),
        ("[a]: b", "1: a key must be a word"),
        // Values.
        (
            "listen: localhost",
            "1: listen: \"localhost\": expected an IP address and a port, as in 127.0.0.1:10006, or a socket's path, as in unix:///run/hookgate.sock",
        ),
        ("budget: 5", "1: budget: \"5\": a time needs a unit, as in 800ms, 5s, 1m or 1h"),
        ("budget: 5 parsecs", "1: budget: \"5 parsecs\": expected a time, as in 800ms, 5s, 1m or 1h"),
        ("budget: 0s", "1: budget: \"0s\": must be more than nothing"),
        ("budget: 0", "1: budget: \"0\": a time needs a unit, as in 800ms, 5s, 1m or 1h"),
        ("budget: -1s", "1: budget: \"-1s\": a time cannot be negative"),
        ("budget: \"\"", "1: budget: \"\": expected a time, as in 800ms, 5s, 1m or 1h"),
        ("after: {age: 400d}", "1: after.age: \"400d\": expected a year at most"),
        (
            "after: {age: 99999999999999999999y}",
            "1: after.age: \"99999999999999999999y\": expected a time, as in 800ms, 5s, 1m or 1h",
        ),
        ("drain: {time: 0s}", "1: drain.time: \"0s\": must be more than nothing"),
        ("limits: {body: 1000}", "1: limits.body: \"1000\": a size needs a unit, as in 64KiB or 1MiB"),
        ("limits: {body: 0KiB}", "1: limits.body: \"0KiB\": must be more than nothing"),
        ("limits: {body: -1KiB}", "1: limits.body: \"-1KiB\": a size cannot be negative"),
        ("limits: {body: large}", "1: limits.body: \"large\": expected a size, as in 64KiB or 1MiB"),
        ("limits: {body: 9000PiB}", "1: limits.body: \"9000PiB\": more than this machine can hold"),
        ("limits: {calls: 0}", "1: limits.calls: \"0\": expected a whole number of 1 or more"),
        ("after: {attempts: 0}", "1: after.attempts: \"0\": expected a whole number from 1 to 4294967295"),
        (
            "channel: {breaker_failures: 1.5}",
            "1: channel.breaker_failures: \"1.5\": expected a whole number from 1 to 4294967295",
        ),
        (
            "denial: {code: 99}",
            "1: denial.code: \"99\": expected a whole number of 100 or more: OpenIM replaces lower ones",
        ),
        ("denial: {messages: {deadline: ' '}}", "1: denial.messages.deadline: must say something"),
        (
            "denial: {messages: {timeout: x}}",
            "1: denial.messages.timeout: no such key; expected unavailable, deadline, \
          overloaded, unimplemented, error, invalid_reply",
        ),
        (
            "log: verbose",
            "1: log: \"verbose\": expected error, warn, info, debug, trace or off, or a list as in info,hookgate=debug",
        ),
        (
            "policy: policy:50051",
            "1: policy: expected http:// or https://, a host and a port, as in http://policy:50051, or a socket's path, as in unix:///run/policy.sock",
        ),
        ("policy: http://user:secret@policy", "1: policy: a user and password are not sent to a policy service"),
        (
            "traces: {endpoint: 'collector:4317'}",
            "1: traces.endpoint: expected http:// or https://, a host and a port, as in http://127.0.0.1:4317",
        ),
        (
            "traces: {endpoint: 'http://collector:0'}",
            "1: traces.endpoint: no host or no port; expected http:// or https://, a host and a port, as in http://127.0.0.1:4317",
        ),
        (
            "traces: {endpoint: 'http://collector:4318/v1/traces'}",
            "1: traces.endpoint: a path or query has no meaning here; expected http:// or https://, a host and a port, as in \
             http://127.0.0.1:4317",
        ),
        (
            "traces: {endpoint: 'http://user:secret@collector:4317'}",
            "1: traces.endpoint: a user and password are not sent to a collector; OTEL_EXPORTER_OTLP_HEADERS are",
        ),
        ("traces: {sample: 10%}", "1: traces.sample: \"10%\": expected a number from 0 to 1, as in 0.1"),
        ("traces: {sample: 1.5}", "1: traces.sample: \"1.5\": expected a number from 0 to 1, as in 0.1"),
        ("traces: {sample: nan}", "1: traces.sample: \"nan\": expected a number from 0 to 1, as in 0.1"),
        ("on_failure: open", "1: on_failure: \"open\": expected deny or allow"),
        ("on_failure: {unavailabel: allow}", "1: on_failure.unavailabel: no such key; did you mean unavailable?"),
        ("on_failure: {deadline: maybe}", "1: on_failure.deadline: \"maybe\": expected deny or allow"),
        // Callbacks.
        ("callbacks: 5", "1: callbacks: expected callbacks by their config key"),
        (
            "callbacks:\n  beforeSendSinglMsg: {budget: 1s}",
            "2: callbacks.beforeSendSinglMsg: no such callback; did you mean beforeSendSingleMsg?",
        ),
        (
            "callbacks: {callbackBeforeSendSingleMsgCommand: {budget: 1s}}",
            "1: callbacks.callbackBeforeSendSingleMsgCommand: no such callback; did you mean beforeSendSingleMsg?",
        ),
        (
            "callbacks: {friends: {budget: 1s}}",
            "1: callbacks.friends: no such callback; hookgate callbacks --json lists the config keys",
        ),
        (
            "callbacks:\n  beforeAddFriend:\n    budgt: 1s",
            "3: callbacks.beforeAddFriend.budgt: no such key; did you mean budget?",
        ),
        (
            "callbacks:\n  beforeAddFriend:\n    budget: 1",
            "3: callbacks.beforeAddFriend.budget: \"1\": a time needs a unit, as in 800ms, 5s, 1m or 1h",
        ),
        (
            "callbacks:\n  afterAddFriend:\n    on_failure: allow",
            "3: callbacks.afterAddFriend.on_failure: failure rules do not apply to After callbacks",
        ),
        (
            "callbacks:\n  afterAddFriend:\n    on_failure:\n      deadline: deny",
            "3: callbacks.afterAddFriend.on_failure: failure rules do not apply to After callbacks",
        ),
        (
            "callbacks:\n  beforeMsgModify: {budget: 1s}\n  msgModify: {budget: 2s}",
            "3: callbacks.msgModify: the same callback as beforeMsgModify",
        ),
        // What contradicts.
        (
            "policy: http://p:1\nbuiltin_listen: 127.0.0.1:1",
            "2: builtin_listen: has no effect, since policy names another to ask",
        ),
        (
            "listen: 127.0.0.1:7\nadmin_listen: 127.0.0.1:7",
            "2: admin_listen: listen, admin_listen and builtin_listen need an address each; two take 127.0.0.1:7",
        ),
        (
            "listen: 0.0.0.0:10007",
            "1: listen: listen, admin_listen and builtin_listen need an address each; two take 127.0.0.1:10007",
        ),
        ("threads: 1025", "1: threads: is 1025; 1024 are the most"),
        ("after: {retry_min: 2m}", "1: after.retry_min: after.retry_min (2m) is longer than after.retry_max (10s)"),
        (
            "after:\n  retry_max: 1ms",
            "2: after.retry_max: after.retry_min (100ms) is longer than after.retry_max (1ms)",
        ),
        (
            "after: {bytes: 1KiB}",
            "1: after.bytes: after.bytes is less than limits.body: the largest After event could not be kept",
        ),
        ("budget: 16s", "1: budget: 16s is longer than 15s, when OpenIM gives up at the latest"),
        (
            "after: {answer_within: 1m}",
            "1: after.answer_within: 1m is longer than 15s, when OpenIM gives up at the latest",
        ),
        (
            "callbacks: {beforeMemberJoinGroup: {budget: 15001ms}}",
            "1: callbacks.beforeMemberJoinGroup.budget: 15001ms is longer than 15s, when OpenIM gives up at the latest",
        ),
        ("openim: {margin: 1s}", "1: openim.margin: has no effect without openim.webhooks"),
        (
            "openim: {honour_failed_continue: true}",
            "1: openim.honour_failed_continue: has no effect without openim.webhooks",
        ),
        (
            "openim: {honour_failed_continue: perhaps}",
            "1: openim.honour_failed_continue: \"perhaps\": expected true or false",
        ),
        ("openim: {webhooks: of/openim.yml}", "1: openim.webhooks: cannot read of/openim.yml: not there"),
    ];
    for (text, expected) in table {
        let report = load_yaml(text).expect_err(text);
        assert_eq!(report, format!("hookgate.yaml:{expected}"), "{text}");
    }
}

#[test]
fn each_mistake_on_the_command_line_is_one_line_with_its_flag() {
    let table: [(&[&str], &str); 8] = [
        (&["--budget", "5"], "--budget: \"5\": a time needs a unit, as in 800ms, 5s, 1m or 1h"),
        (
            &["--policy", "ftp://p"],
            "--policy: expected http:// or https://, a host and a port, as in http://policy:50051, or a socket's path, as in unix:///run/policy.sock",
        ),
        (
            &["--policy", ""],
            "--policy: empty string; expected http:// or https://, a host and a port, as in http://policy:50051, or a socket's path, as in unix:///run/policy.sock",
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
fn everything_that_is_wrong_is_said_at_once() {
    let yaml = "listn: 1\nbudget: 5\nlimits:\n  calls: 0\ncallbacks:\n  beforeX: {}\n  beforeAddFriend: {budget: 9s}\n\
                openim: {webhooks: webhooks.yml}";
    let openim = "beforeAddFriend: {timeout: 5}\nafterAddFriend: {timeout: soon}";
    let files = [("/etc/hookgate.yaml", yaml), ("/etc/webhooks.yml", openim)];
    let report = load(&["--config", "/etc/hookgate.yaml", "--log", "loud"], &files).unwrap_err();
    let expected = [
        "/etc/hookgate.yaml:1: listn: no such key; did you mean listen?",
        "/etc/hookgate.yaml:2: budget: \"5\": a time needs a unit, as in 800ms, 5s, 1m or 1h",
        "/etc/hookgate.yaml:4: limits.calls: \"0\": expected a whole number of 1 or more",
        "/etc/hookgate.yaml:6: callbacks.beforeX: no such callback; hookgate callbacks --json lists the config keys",
        "--log: \"loud\": expected error, warn, info, debug, trace or off, or a list as in info,hookgate=debug",
        "/etc/hookgate.yaml:7: callbacks.beforeAddFriend.budget: 9s is longer than the 5s that OpenIM waits (/etc/webhooks.yml:1)",
        "/etc/webhooks.yml:2: afterAddFriend.timeout: \"soon\": expected a whole number of seconds",
    ];
    assert_eq!(report.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_multiplies_nests_or_goes_on_without_end_is_refused() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (key, alias) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        bomb += &format!("{key}: &{key} [{}]\n", vec![format!("*{alias}"); 9].join(", "));
    }
    let cases = [
        (bomb, "5: more than 20000 values, aliases followed"),
        ("{a: ".repeat(100), "1: more than 32 levels"),
        ("{a: ".repeat(100_000), "1: recursion limit exceeded"),
        ("- ".repeat(100_000), "1: more than 32 levels"),
        ("listen:\n---\nlisten:\n".to_owned(), "2: a second document begins; one is expected"),
        ("a: &a [*a]".to_owned(), "1: an alias stands inside of what it names"),
        ("listen: *nobody".to_owned(), "1: while parsing node, found unknown anchor"),
        ("listen: [".to_owned(), "2: while parsing a node, did not find expected node content"),
    ];
    for (text, expected) in cases {
        let start = &text[..text.len().min(40)];
        assert_eq!(load_yaml(&text).expect_err(start), format!("hookgate.yaml:{expected}"), "{start}");
        assert!(load_openim(&text).expect_err(start).starts_with("webhooks.yml:"), "{start}");
    }
}

#[test]
fn a_file_without_settings_changes_nothing() {
    let nulls = "listen:\nbudget: ~\non_failure: null\nlimits:\ncallbacks:\n  beforeAddFriend:\n  beforeAddBlack:\n    budget:\n";
    for text in ["", "\u{feff}", "# nothing\n", "---\n", "{}", nulls] {
        assert_eq!(load_yaml(text).unwrap().config, Config::default(), "{text:?}");
    }
    assert_eq!(load(&[], &[]).unwrap().config, Config::default());
}

#[test]
fn later_sources_go_before_earlier_ones() {
    let openim =
        "url: http://127.0.0.1:10006\nbeforeAddFriend: {enable: true, timeout: 9}\nbeforeSendSingleMsg: {timeout: 8}";
    let yaml = "openim: {webhooks: webhooks.yml}\n";
    let own = "callbacks: {beforeAddFriend: {budget: 7s}}\n";
    let budgets = |args: &[&str], yaml: &str| {
        let args = [&["--config", "hookgate.yaml"], args].concat();
        let config = load(&args, &[("hookgate.yaml", yaml), ("webhooks.yml", openim)]).unwrap().config;
        [millis(&config, FRIEND), millis(&config, SINGLE), config.every.budget.as_millis()]
    };
    assert_eq!(budgets(&[], ""), [4500, 4500, 4500]);
    assert_eq!(budgets(&[], yaml), [8500, 7500, 4500]);
    assert_eq!(budgets(&[], &format!("{yaml}{own}")), [7000, 7500, 4500]);
    assert_eq!(budgets(&[], &format!("{yaml}budget: 3s")), [3000, 3000, 3000]);
    assert_eq!(budgets(&[], &format!("{yaml}{own}budget: 3s")), [7000, 3000, 3000]);
    assert_eq!(budgets(&["--budget", "2s"], &format!("{yaml}{own}budget: 3s")), [7000, 2000, 2000]);
    assert_eq!(budgets(&["--budget", "2s"], yaml), [2000, 2000, 2000]);

    let files = [("hookgate.yaml", "listen: 127.0.0.1:1\nadmin_listen: 127.0.0.1:2\npolicy: http://file:1")];
    let args = ["--config", "hookgate.yaml", "--listen", "127.0.0.1:3", "--policy", "http://flag:1"];
    let config = load(&args, &files).unwrap().config;
    assert_eq!([config.listen, config.admin_listen].map(|address| address.tcp().unwrap().port()), [3, 2]);
    assert_eq!(config.policy, PolicyService::Url("http://flag:1".parse().unwrap()));
}

#[test]
fn the_most_particular_rule_decides() {
    use Class::{Deadline, Error, Unavailable};
    use Rule::{Allow, Deny};
    let own = |rules: &str| format!("callbacks: {{beforeAddFriend: {{on_failure: {rules}}}}}\n");
    let class_and_default = "on_failure: {default: allow, deadline: deny}\n";
    let rules = |args: &[&str], yaml: &str| {
        let args = [&["--config", "hookgate.yaml"], args].concat();
        let config = load(&args, &[("hookgate.yaml", yaml)]).unwrap().config;
        [FRIEND, SINGLE].map(|command| {
            let rules = handling(&config, command).on_failure;
            [Unavailable, Deadline, Error].map(|class| rules.rule(class))
        })
    };
    let everyone = |rules| [rules, rules];
    assert_eq!(rules(&[], ""), everyone([Deny, Deny, Deny]));
    assert_eq!(rules(&[], "on_failure: allow"), everyone([Allow, Allow, Allow]));
    assert_eq!(rules(&[], class_and_default), everyone([Allow, Deny, Allow]));
    assert_eq!(rules(&[], &own("allow")), [[Allow, Allow, Allow], [Deny, Deny, Deny]]);
    assert_eq!(rules(&[], &own("{error: allow}")), [[Deny, Deny, Allow], [Deny, Deny, Deny]]);
    // A callback's default beats the class of all; its class beats both.
    let both = format!("{class_and_default}{}", own("{default: allow, error: deny}"));
    assert_eq!(rules(&[], &both), [[Allow, Allow, Deny], [Allow, Deny, Allow]]);
    let class = format!("{class_and_default}{}", own("{error: deny}"));
    assert_eq!(rules(&[], &class), [[Allow, Deny, Deny], [Allow, Deny, Allow]]);
    // A flag stands for the whole of the file's `on_failure`.
    assert_eq!(rules(&["--on-failure", "deny"], class_and_default), everyone([Deny, Deny, Deny]));
    assert_eq!(rules(&["--on-failure", "unavailable=allow, deadline=allow"], ""), everyone([Allow, Allow, Deny]));
    assert_eq!(rules(&["--on-failure", "allow,deadline=deny"], ""), everyone([Allow, Deny, Allow]));
    assert_eq!(rules(&["--on-failure", "deny"], &own("allow")), [[Allow, Allow, Allow], [Deny, Deny, Deny]]);
}

#[test]
fn a_config_key_of_two_callbacks_sets_both_and_older_keys_are_known() {
    let config = load_yaml("callbacks: {beforeMemberJoinGroup: {budget: 2s}, msgModify: {budget: 3s}}").unwrap().config;
    assert_eq!(millis(&config, "callbackBeforeMembersJoinGroupCommand"), 2000);
    assert_eq!(millis(&config, "callbackBeforeMemberJoinGroupCommand"), 2000);
    assert_eq!(millis(&config, "callbackBeforeMsgModifyCommand"), 3000);
    assert_eq!(config.callbacks.len(), 3);
    assert_eq!(config.handling(Callback::fallback()), &config.every);
}

fn shipped(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhooks_yml").join(name);
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn openim_s_own_file_is_read_in_the_shape_of_every_release() {
    let of = |name: &str| {
        let loaded = load_openim(&shipped(name)).unwrap_or_else(|report| panic!("{name}: {report}"));
        let mut budgets: Vec<_> =
            loaded.config.callbacks.iter().map(|(command, own)| (*command, own.budget.as_millis())).collect();
        budgets.sort_unstable();
        (budgets, lines(&loaded.warnings))
    };
    let none: Vec<String> = Vec::new();
    // What is 5 s there is the default.
    let main = [
        ("callbackAfterSendSingleMsgCommand", 2500),
        ("callbackBeforeCreateSingleChatConversationsCommand", 14_500),
        ("callbackBeforeMemberJoinGroupCommand", 1500),
        ("callbackBeforeMembersJoinGroupCommand", 1500),
    ];
    assert_eq!(of("main.yml"), (main.to_vec(), none.clone()));
    assert_eq!(of("3.8.yml"), (vec![(SINGLE, 9500)], none.clone()));
    assert_eq!(of("3.8.3-patch.yml"), (vec![("callbackAfterRemoveBlackCommand", 14_500)], none));
    let join = [("callbackBeforeMemberJoinGroupCommand", 6500), ("callbackBeforeMembersJoinGroupCommand", 6500)];
    let scheme =
        "webhooks.yml:1: url: the scheme webhook, with which OpenIM can post nothing; expected http://127.0.0.1:10006";
    assert_eq!(of("3.7.yml"), (join.to_vec(), vec![scheme.to_owned()]));
    // Two keys of one callback: the shorter timeout is safe with either.
    let old = [("callbackAfterGroupMsgReadCommand", 2500), ("callbackBeforeMsgModifyCommand", 5500)];
    let said = [
        "webhooks.yml:7: url: leads to port 10008, but hookgate listens on 127.0.0.1:10006",
        "webhooks.yml:16: callback.setMessageReactionExtensions: enabled, but this build knows no such callback; if \
         OpenIM sends it, it goes to FallbackPolicyService with the budget and rules of all callbacks",
    ];
    assert_eq!(of("3.5-config.yaml"), (old.to_vec(), said.map(str::to_owned).to_vec()));
    let late = "webhooks.yml:13: beforeAddFriend.timeout: 20s: OpenIM gives up after 15s, whatever stands here";
    assert_eq!(of("configmap.yaml"), (vec![(FRIEND, 14_500)], vec![late.to_owned()]));
}

#[test]
fn openim_s_own_file_may_be_as_odd_as_openim_takes_it() {
    for text in [
        "beforeAddFriend: {enable: true, timeout: 9}",
        "BEFOREADDFRIEND: {ENABLE: T, Timeout: \"9\"}",
        "beforeAddBlack: &hook {enable: yes, timeout: 9}\nbeforeAddFriend: *hook",
        "x: &hook {timeout: 9, enable: false}\nbeforeAddFriend: {<<: *hook, enable: on}",
        "\u{feff}---\nbeforeAddFriend: {enable: 1, timeout: 9, failedContinue: ~, new: [a, {b: c}]}\nother: 5\n",
    ] {
        let loaded = load_openim(&format!("{text}\nurl: http://localhost:10006")).expect(text);
        assert_eq!(millis(&loaded.config, FRIEND), 8500, "{text}");
        assert_eq!(lines(&loaded.warnings), [""; 0], "{text}");
    }
}

#[test]
fn what_openim_has_enabled_and_will_not_work_is_said() {
    let here = "url: http://127.0.0.1:10006\n";
    let table = [
        (
            "beforeAddBlack: {enable: true}\nafterGroupMsgRevoke: {enable: true}",
            ":3: afterGroupMsgRevoke: enabled, but this build knows no such callback; if OpenIM sends it, it goes to \
             FallbackPolicyService with the budget and rules of all callbacks",
        ),
        (
            "afterAddFriend: {enable: true, timeout: 16}",
            ":2: afterAddFriend.timeout: 16s: OpenIM gives up after 15s, whatever stands here",
        ),
        (
            "afterAddFriend: {enable: false, timeout: 16}\nafterGroupMsgRevoke: {enable: false}",
            ": no callback is enabled; OpenIM asks nothing by this file",
        ),
    ];
    for (text, expected) in table {
        let loaded = load_openim(&format!("{here}{text}")).expect(text);
        assert_eq!(lines(&loaded.warnings), [format!("webhooks.yml{expected}")], "{text}");
    }
    let hasty = load(
        &["--config", "hookgate.yaml"],
        &[
            ("hookgate.yaml", "after: {answer_within: 2s}\nopenim: {webhooks: w.yml}"),
            (
                "w.yml",
                &format!(
                    "{here}afterAddFriend: {{enable: true, timeout: 1}}\nbeforeAddFriend: {{enable: true, timeout: 1}}"
                ),
            ),
        ],
    );
    let expected = "w.yml:2: afterAddFriend.timeout: OpenIM waits 1s, less than after.answer_within (2s)";
    assert_eq!(lines(&hasty.unwrap().warnings), [expected]);
}

#[test]
fn a_url_that_does_not_lead_here_is_said_without_its_path() {
    let local = "127.0.0.1:10006";
    let table = [
        ("http://127.0.0.1:10006", local, None),
        ("http://localhost:10006/any/path", local, None),
        ("http://hookgate:10006", "0.0.0.0:10006", None),
        ("http://hookgate:10006", "10.0.0.7:10006", None),
        ("http://10.0.0.7", "10.0.0.7:80", None),
        ("http://127.0.0.1:1/secret", "127.0.0.1:0", None),
        ("http://[::1]:10006", "[::1]:10006", None),
        ("http://127.0.0.1:10008/secret", local, Some("leads to port 10008, but hookgate listens on 127.0.0.1:10006")),
        ("http://127.0.0.1/secret", local, Some("leads to port 80, but hookgate listens on 127.0.0.1:10006")),
        ("http://hookgate:10006/secret", local, Some("leads to hookgate, but hookgate listens on 127.0.0.1:10006")),
        ("http://10.0.0.8:10006", "10.0.0.7:10006", Some("leads to 10.0.0.8, but hookgate listens on 10.0.0.7:10006")),
        (
            "https://127.0.0.1:10006",
            local,
            Some("https, which hookgate does not speak without tls.certificate; something before it must"),
        ),
        ("http://127.0.0.1:10006/secret/", local, Some("ends in a slash, so paths have two; hookgate takes both")),
        (
            "http://127.0.0.1:10006/?secret",
            local,
            Some("has a query: OpenIM puts the command behind it, and hookgate finds it there; a path is plainer"),
        ),
        (
            "127.0.0.1:10006",
            local,
            Some("no scheme, with which OpenIM can post nothing; expected http://127.0.0.1:10006"),
        ),
        ("\" secret\"", local, Some("not a URL; OpenIM can post nothing")),
    ];
    for (url, listen, expected) in table {
        let openim = format!("beforeAddFriend: {{enable: true}}\nurl: {url}");
        let loaded = load(&["--openim-webhooks", "w.yml", "--listen", listen], &[("w.yml", &openim)]).expect(url);
        let expected: Vec<_> = expected.iter().map(|what| format!("w.yml:2: url: {what}")).collect();
        let of_url: Vec<_> = lines(&loaded.warnings).into_iter().filter(|line| line.starts_with("w.yml")).collect();
        assert_eq!(of_url, expected, "{url} {listen}");
    }
    let loaded = load_openim("beforeAddFriend: {enable: true}").unwrap();
    assert_eq!(lines(&loaded.warnings), ["webhooks.yml: url: not there; OpenIM does not know where to post"]);
}

#[test]
fn each_mistake_in_openim_s_file_is_one_line() {
    let nothing = "names no callback; expected OpenIM's webhooks.yml, or the config.yaml of 3.5";
    let table = [
        ("", "1: expected url and callbacks".to_owned()),
        ("mysql: {}", format!(" {nothing}")),
        ("data:\n  log.yml: x", "2: data: holds no webhooks.yml".to_owned()),
        ("beforeAddFriend: 5", "1: beforeAddFriend: expected enable and timeout".to_owned()),
        (
            "beforeAddFriend:\n  timeout: 5s",
            "2: beforeAddFriend.timeout: \"5s\": expected a whole number of seconds".to_owned(),
        ),
        ("beforeAddFriend: {enable: maybe}", "1: beforeAddFriend.enable: expected true or false".to_owned()),
        ("beforeAddFriend:\nbeforeAddFriend:", "2: beforeAddFriend: given twice".to_owned()),
        (
            "data:\n  webhooks.yml: |\n    a:\n    b: [",
            "5: while parsing a node, did not find expected node content".to_owned(),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(load_openim(text).expect_err(text), format!("webhooks.yml:{expected}"), "{text:?}");
    }
}

#[test]
fn a_budget_longer_than_openim_waits_is_refused() {
    let openim = "beforeAddFriend: {timeout: 3}\nafterAddFriend: {timeout: 4}\nbeforeAddBlack: {timeout: 0}\n\
                  beforeMemberJoinGroup: {timeout: 3}";
    let with = |yaml: &str, args: &[&str]| {
        let yaml = format!("{yaml}\nopenim: {{webhooks: w.yml}}");
        let args = [&["--config", "c.yaml"], args].concat();
        load(&args, &[("c.yaml", &yaml), ("w.yml", openim)]).map(|loaded| loaded.config)
    };
    assert_eq!(
        with("", &["--budget", "3500ms"]).unwrap_err(),
        "--budget: 3500ms is longer than OpenIM waits for beforeAddFriend (3s), and 2 more"
    );
    assert_eq!(
        with("budget: 3500ms\ncallbacks: {beforeAddFriend: {budget: 1s}, beforeMemberJoinGroup: {budget: 4s}}", &[])
            .unwrap_err(),
        "c.yaml:2: callbacks.beforeMemberJoinGroup.budget: 4s is longer than the 3s that OpenIM waits (w.yml:4)",
    );
    assert_eq!(millis(&with("budget: 3s", &[]).unwrap(), FRIEND), 3000);
    assert_eq!(millis(&with("", &[]).unwrap(), "callbackBeforeAddBlackCommand"), 14_500);
}

#[test]
fn a_margin_that_leaves_nothing_is_refused_for_before_callbacks() {
    let with = |own: &str| {
        let yaml = format!("openim: {{webhooks: w.yml, margin: 1s}}\n{own}");
        let openim = "afterAddFriend: {timeout: 1}\nbeforeAddFriend: {timeout: 1}\nbeforeMemberJoinGroup: {timeout: 1}\nbeforeAddBlack: {timeout: 2}";
        load(&["--config", "c.yaml"], &[("c.yaml", &yaml), ("w.yml", openim)]).map(|loaded| loaded.config)
    };
    let expected = "w.yml:2: beforeAddFriend.timeout: nothing is left of 1s after openim.margin (1s)\n\
                    w.yml:3: beforeMemberJoinGroup.timeout: nothing is left of 1s after openim.margin (1s)";
    assert_eq!(with("").unwrap_err(), expected);
    let config = with("callbacks: {beforeAddFriend: {budget: 900ms}, beforeMemberJoinGroup: {budget: 800ms}}").unwrap();
    let budgets = [
        FRIEND,
        "callbackBeforeMemberJoinGroupCommand",
        "callbackBeforeAddBlackCommand",
        "callbackAfterAddFriendCommand",
    ];
    assert_eq!(budgets.map(|command| millis(&config, command)), [900, 800, 1000, 4500]);
}

#[test]
fn failed_continue_counts_where_it_is_to_and_nothing_else_is_said() {
    use Rule::{Allow, Deny};
    let openim = "beforeAddFriend: {enable: true, failedContinue: true}\nbeforeSendSingleMsg: {failedContinue: false}\n\
                  afterAddFriend: {failedContinue: true}\nurl: http://127.0.0.1:10006";
    let with = |yaml: &str| {
        let files = [("c.yaml", yaml), ("w.yml", openim)];
        let loaded = load(&["--config", "c.yaml", "--openim-webhooks", "w.yml"], &files).unwrap();
        let rules = [FRIEND, SINGLE, "callbackAfterAddFriendCommand"].map(|command| {
            [Class::Deadline, Class::Error].map(|class| handling(&loaded.config, command).on_failure.rule(class))
        });
        (rules, lines(&loaded.warnings))
    };
    let (no, yes) = ([Deny, Deny], [Allow, Allow]);
    let honour = "openim: {honour_failed_continue: true}";
    assert_eq!(with(""), ([no, no, no], vec![]));
    assert_eq!(with(honour), ([yes, no, no], vec![]));
    let own = format!("{honour}\ncallbacks: {{beforeAddFriend: {{on_failure: {{error: allow}}}}}}");
    assert_eq!(with(&own), ([[Deny, Allow], no, no], vec![]));
    assert_eq!(with(&format!("{honour}\non_failure: {{error: deny}}")), ([[Allow, Deny], no, no], vec![]));
    let warning = "c.yaml:1: openim.honour_failed_continue: has no effect: on_failure has a rule for every callback";
    assert_eq!(with(&format!("{honour}\non_failure: deny")), ([no, no, no], vec![warning.to_owned()]));
}

/// A file in which nothing has its default.
const ALL_OF_IT: &str = r#"
listen: "[::1]:1"
admin_listen: 127.0.0.1:2
policy: https://policy
threads: 3
log: warn,hookgate=debug
budget: 1234567us
on_failure: {default: allow, error: deny}
callbacks:
  beforeAddFriend: {budget: 2s, on_failure: deny}
  beforeMemberJoinGroup: {on_failure: {deadline: deny}}
  afterAddFriend: {budget: 1s 1ns}
denial:
  code: 5001
  messages: {unavailable: "down: # no \"policy\"\n\t\\ \x07\u2028\x85", deadline: späť, overloaded: "yes", unimplemented: "5", error: "~", invalid_reply: " x "}
limits: {body: 1537B, reply: 2GiB, calls: 1, connections: 2}
channel: {connect_timeout: 1ns, keep_alive: 90s, keep_alive_timeout: 1h, reconnect_max: 1s, breaker_failures: 1, breaker_open: 61m, health_interval: 3s}
after: {answer_within: 0ms, attempts: 1, age: 365d, retry_min: 5ms, retry_max: 6ms, events: 1, bytes: 1MB, concurrency: 1,
  sync: each, schedule: "1s, 1m", pause_max: 7s, when_full: drop_dead, dead_age: 1d, dead_bytes: 2MB}
data: /data
drain: {delay: 1m, time: 2m}
decisions: {to: stdout, allows: 0.25, fields: "message.content,recv_id"}
"#;

#[test]
fn every_setting_reaches_its_place() {
    let said = load_yaml(ALL_OF_IT).unwrap().config;
    assert_eq!(said.listen.tcp().unwrap().port(), 1);
    assert_eq!(said.admin_listen.tcp().unwrap().port(), 2);
    assert_eq!(said.policy, PolicyService::Url("https://policy".parse().unwrap()));
    assert_eq!(said.threads, 3);
    assert_eq!(said.log, "warn,hookgate=debug".parse().unwrap());
    assert_eq!(said.every.budget, Duration::from_micros(1_234_567));
    assert_eq!(handling(&said, "callbackAfterAddFriendCommand").budget, Duration::new(1, 1));
    assert_eq!(said.denial.code, 5001);
    assert_eq!(said.denial.messages[&Class::Unavailable], "down: # no \"policy\"\n\t\\ \u{7}\u{2028}\u{85}");
    let texts = [Class::Deadline, Class::Overloaded, Class::Unimplemented, Class::Error, Class::InvalidReply];
    assert_eq!(texts.map(|class| &*said.denial.messages[&class]), ["späť", "yes", "5", "~", " x "]);
    let limits = config::Limits { body: 1537, reply: 2 << 30, calls: 1, connections: 2 };
    assert_eq!(said.limits, limits);
    let seconds = Duration::from_secs;
    let channel = config::Channel {
        connect_timeout: Duration::from_nanos(1),
        keep_alive: seconds(90),
        keep_alive_timeout: seconds(3600),
        reconnect_max: seconds(1),
        breaker_failures: 1,
        breaker_open: seconds(3660),
        health_interval: seconds(3),
    };
    assert_eq!(said.channel, channel);
    let after = config::After {
        answer_within: Duration::ZERO,
        attempts: 1,
        age: seconds(365 * 24 * 3600),
        retry_min: Duration::from_millis(5),
        retry_max: Duration::from_millis(6),
        events: 1,
        bytes: 1_000_000,
        concurrency: 1,
        pause_max: seconds(7),
        schedule: vec![seconds(1), seconds(60)],
        sync: config::SyncRule::Each,
        when_full: config::WhenFull::DropDead,
        dead_age: seconds(24 * 3600),
        dead_bytes: 2_000_000,
    };
    assert_eq!(said.after, after);
    assert_eq!(said.data.as_deref(), Some(std::path::Path::new("/data")));
    assert_eq!(said.drain, config::Drain { delay: seconds(60), time: seconds(120) });
    let fields = vec!["message.content".to_owned(), "recv_id".to_owned()];
    assert_eq!(said.decisions, config::Decisions { to: Some(config::DecisionsTo::Stdout), allows: 0.25, fields });
}

/// What is printed is read back to the same, without OpenIM's file too, and printed the same but for who said it.
fn assert_round_trip(loaded: &Loaded) {
    let printed = config::print(loaded);
    let again = load_yaml(&printed).unwrap_or_else(|report| panic!("{report}\n{printed}"));
    // What OpenIM enables is known from its file alone, and decides nothing.
    assert_eq!(again.config, Config { openim_enables: None, ..loaded.config.clone() }, "{printed}");
}

#[test]
fn what_is_printed_is_read_back_to_the_same() {
    assert_round_trip(&load(&[], &[]).unwrap());
    assert_round_trip(&load(&["--builtin-listen", "[::]:0", "--on-failure", "error=allow"], &[]).unwrap());
    assert_round_trip(&load_yaml(ALL_OF_IT).unwrap());
    for name in ["main.yml", "3.8.yml", "3.8.3-patch.yml", "3.7.yml", "3.5-config.yaml", "configmap.yaml"] {
        let files = [("c.yaml", "openim: {webhooks: w.yml, honour_failed_continue: true}"), ("w.yml", &shipped(name))];
        let loaded = load(&["--config", "c.yaml"], &files).unwrap();
        assert!(loaded.config.callbacks.len() <= 7 && config::print(&loaded).contains("  # w.yml:"), "{name}");
        assert_round_trip(&loaded);
    }
}

#[test]
fn what_is_printed_says_who_said_it() {
    let loaded = load(&["--config", "c.yaml", "--log", "warn"], &[("c.yaml", "drain:\n  time: 9s")]).unwrap();
    let printed = config::print(&loaded);
    for line in ["log: \"warn\"  # --log", "  time: 9s  # c.yaml:2", "budget: 4500ms", "  code: 5000"] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
}

proptest! {
    #[test]
    fn any_sentence_is_printed_so_that_it_is_read_back(sentence in "[^\\p{Cn}\\p{Co}]{1,20}") {
        let mut loaded = load(&[], &[]).unwrap();
        prop_assume!(!sentence.trim().is_empty());
        loaded.config.denial.messages.insert(Class::Error, sentence);
        assert_round_trip(&loaded);
    }

    #[test]
    fn no_text_is_too_odd_for_a_report(text in "([-a-z:&*{}\\[\\],|>\"'#%?!~<\n \t]|budget|callbacks|beforeAddFriend|data|webhooks.yml){0,60}") {
        let _ = load_yaml(&text);
        let _ = load_openim(&text);
    }
}

fn hookgate(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOOKGATE_")) {
        command.env_remove(name);
    }
    command.args(args).envs(variables.iter().copied()).output().unwrap()
}

fn file(name: &str, text: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn said(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn config_check_says_ok_or_what_is_wrong() {
    let good = hookgate(&["config", "check"], &[]);
    assert_eq!((good.status.code(), said(&good.stdout), said(&good.stderr)), (Some(0), "ok\n", ""));

    let openim = file("odd-webhooks.yml", b"url: http://127.0.0.1:1\nbeforeAddFriend: {enable: true}");
    let odd = hookgate(&["config", "check", "--openim-webhooks", openim.to_str().unwrap()], &[]);
    let warning =
        format!("warning: {}:1: url: leads to port 1, but hookgate listens on 127.0.0.1:10006\n", openim.display());
    assert_eq!((odd.status.code(), said(&odd.stdout), said(&odd.stderr)), (Some(0), "ok\n", &*warning));

    let yaml = file("bad.yaml", b"listn: 1\nbudget: 1");
    let expected = format!(
        "HOOKGATE_POLCY: no such variable; did you mean HOOKGATE_POLICY?\n\
         {0}:1: listn: no such key; did you mean listen?\n\
         {0}:2: budget: \"1\": a time needs a unit, as in 800ms, 5s, 1m or 1h\n\
         HOOKGATE_LOG: \"loud\": expected error, warn, info, debug, trace or off, or a list as in info,hookgate=debug\n",
        yaml.display()
    );
    let variables = [
        ("HOOKGATE_CONFIG", yaml.to_str().unwrap()),
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
    let yaml =
        file("order.yaml", b"budget: 1s\nlog: error\non_failure: {default: allow, error: deny}\nlisten: 127.0.0.1:1");
    let variables = [
        ("HOOKGATE_CONFIG", yaml.to_str().unwrap()),
        ("HOOKGATE_BUDGET", "2s"),
        ("HOOKGATE_LOG", "warn"),
        ("HOOKGATE_ON_FAILURE", "unavailable=allow"),
        ("HOOKGATE_ADMIN_LISTEN", "127.0.0.1:3"),
        ("HOOKGATE_BUILTIN_LISTEN", "127.0.0.1:4"),
    ];
    let printed = hookgate(&["config", "print", "--log", "debug"], &variables);
    let printed = said(&printed.stdout);
    let from_file = format!("listen: \"127.0.0.1:1\"  # {}:4", yaml.display());
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
    let large = file("large.yaml", " ".repeat((1 << 20) + 1).as_bytes());
    let largest = file("largest.yaml", " ".repeat(1 << 20).as_bytes());
    let binary = file("binary.yaml", b"\xff\xfe");
    let missing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("missing.yaml");
    for (path, why) in [
        (&large, "more than 1MiB"),
        (&binary, "not UTF-8"),
        (&missing, "No such file or directory (os error 2)"),
        (&PathBuf::from(env!("CARGO_TARGET_TMPDIR")), "Is a directory (os error 21)"),
    ] {
        for option in ["--config", "--openim-webhooks"] {
            let output = hookgate(&["config", "check", option, path.to_str().unwrap()], &[]);
            let expected = format!("{option}: cannot read {}: {why}\n", path.display());
            assert_eq!((output.status.code(), said(&output.stderr)), (Some(2), &*expected));
        }
    }
    assert!(hookgate(&["config", "check", "--config", largest.to_str().unwrap()], &[]).status.success());
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

#[test]
fn with_a_directory_after_events_have_days_and_what_was_said_stays() {
    let loaded = load(&["--config", "c.yaml", "--data", "/data"], &[("c.yaml", "after: {age: 2h}")]).unwrap();
    let expected = config::After { age: Duration::from_secs(2 * 3600), ..config::After::on_disk() };
    assert_eq!(loaded.config.after, expected);
    assert_round_trip(&loaded);
    let without = load(&[], &[]).unwrap();
    assert_eq!(without.config.after, config::After::in_memory());
}
