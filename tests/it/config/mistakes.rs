//! What is wrong with a hookgate.yaml, or with all that is said together: each mistake in one line.

use super::{load, load_openim, load_yaml};

#[test]
fn each_mistake_in_the_file_is_one_line_with_path_and_line() {
    let table = [
        // Keys.
        ("listn: 127.0.0.1:1", "1: listn: no such key; did you mean listen?"),
        ("admin-listen: 127.0.0.1:1", "1: admin-listen: no such key; did you mean admin_listen?"),
        ("\n\ndrain:\n  grace: 5s", "4: drain.grace: no such key; expected delay, time"),
        ("listen:\nlisten:", "2: listen: given twice; it is on line 1 too"),
        ("limits: 5", "1: limits: expected keys with values: body, head, reply, memory, calls, connections"),
        (
            "- a",
            "1: expected keys with values: policy, builtin_listen, listen, admin_listen, admin_hosts, threads, log, log_format, data, budget, on_failure, \
          openim, denial, limits, access, tls, policy_tls, channel, after, drain, traces, decisions, policies, routes, callbacks",
        ),
        ("budget: [1s]", "1: budget: expected a single value"),
        ("[a]: b", "1: a key must be a word"),
        // Values.
        (
            "listen: localhost",
            "1: listen: \"localhost\": expected an IP address and a port, as in 127.0.0.1:10006, localhost:10006 or :10006, or a socket's path, as in unix:///run/hookgate.sock",
        ),
        ("budget: 5", "1: budget: \"5\": a time needs a unit, as in 800ms, 5s, 1m or 1h"),
        ("budget: 5 parsecs", "1: budget: \"5 parsecs\": expected a time, as in 800ms, 5s, 1m or 1h"),
        ("budget: 0s", "1: budget: \"0s\": must be more than 0"),
        ("budget: 0", "1: budget: \"0\": a time needs a unit, as in 800ms, 5s, 1m or 1h"),
        ("budget: -1s", "1: budget: \"-1s\": a time cannot be negative"),
        ("budget: \"\"", "1: budget: \"\": expected a time, as in 800ms, 5s, 1m or 1h"),
        ("after: {age: 400d}", "1: after.age: \"400d\": expected a year at most"),
        (
            "after: {age: 99999999999999999999y}",
            "1: after.age: \"99999999999999999999y\": expected a time, as in 800ms, 5s, 1m or 1h",
        ),
        ("drain: {time: 0s}", "1: drain.time: \"0s\": must be more than 0"),
        ("limits: {body: 1000}", "1: limits.body: \"1000\": a size needs a unit, as in 64KiB or 1MiB"),
        ("limits: {body: 0KiB}", "1: limits.body: \"0KiB\": must be more than 0"),
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
        ("denial: {messages: {deadline: ' '}}", "1: denial.messages.deadline: must not be empty"),
        (
            "denial: {messages: {timeout: x}}",
            "1: denial.messages.timeout: no such key; expected unavailable, deadline, \
          overloaded, unimplemented, error, invalid_reply",
        ),
        (
            "log: verbose",
            "1: log: \"verbose\": expected error, warn, info, debug, trace or off, or a list as in info,h2=debug",
        ),
        (
            "policy: policy",
            "1: policy: expected a host and a port, as in policy:50051, http://policy:50051 or https://policy:50051, or a socket's path, as in unix:///run/policy.sock",
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
        ("after: {hold: -1s}", "1: after.hold: \"-1s\": a time cannot be negative"),
        ("after: {order: group}", "1: after.order: \"group\": expected key or none"),
        (
            "callbacks:\n  afterQuitGroup:\n    order: arrival",
            "3: callbacks.afterQuitGroup.order: \"arrival\": expected key or none",
        ),
        (
            "callbacks:\n  beforeAddFriend:\n    budget: 1s\n    order: key",
            "4: callbacks.beforeAddFriend.order: beforeAddFriend is a Before callback, and only After callbacks have an order",
        ),
        (
            "callbacks:\n  afterUserRegister: {order: none}",
            "2: callbacks.afterUserRegister.order: afterUserRegister has no order to set: its events have no key",
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
        ("threads: 1025", "1: threads: \"1025\": expected a whole number from 1 to 1024"),
        ("after: {retry_min: 2m}", "1: after.retry_min: after.retry_min (2m) is longer than after.retry_max (10s)"),
        (
            "after:\n  retry_max: 1ms",
            "2: after.retry_max: after.retry_min (100ms) is longer than after.retry_max (1ms)",
        ),
        (
            "after: {bytes: 1KiB}",
            "1: after.bytes: after.bytes is less than limits.body: the largest After event could not be kept",
        ),
        (
            "limits: {memory: 23MiB}",
            "1: limits.memory: limits.memory is less than three times limits.body: the largest body could not be held",
        ),
        (
            "limits: {body: 65MiB}",
            "1: limits.body: limits.memory is less than three times limits.body: the largest body could not be held",
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
        "--log: \"loud\": expected error, warn, info, debug, trace or off, or a list as in info,h2=debug",
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
