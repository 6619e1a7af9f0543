//! Named policies and the routes that name them: inherited settings, and each mistake in one line.

use std::time::Duration;

use hookgate::config::{self, Ask, Class, Loaded, Rule};
use hookgate::contract::Callback;

use super::{assert_round_trip, lines, load_exactly};

/// Reads a file with the files that it may name.
fn read(yaml: &str) -> Result<Loaded, String> {
    let files = [
        ("etc/hookgate.yaml", yaml),
        ("etc/tenant.txt", "blue\n"),
        ("etc/two.txt", "one\ntwo\n"),
        ("etc/odd.txt", "gr\u{fc}n\n"),
        (
            "etc/webhooks.yml",
            "beforeAddFriend: {enable: true, timeout: 5}\nafterAddFriend: {enable: true, timeout: 5}\n",
        ),
    ];
    load_exactly(&["--config", "etc/hookgate.yaml"], &files)
}

const TWO: &str = "policies: {words: {url: \"http://w:1\"}, friends: {url: \"http://f:2\"}}\n";

/// Reads routes behind two policies, words and friends.
fn routed(routes: &str) -> Result<Loaded, String> {
    read(&format!("{TWO}routes:\n{routes}\n"))
}

#[test]
fn a_policy_has_the_settings_of_the_top_level_but_for_its_own() {
    let loaded = read(
        "channel: {keep_alive: 7s, breaker_failures: 3}\nlimits: {reply: 1MiB, calls: 9}\non_failure: allow\npolicies:\n  \
         words:\n    url: unix:///run/words.sock\n    observe: true\n    share: 0.5\n    reply: 2MiB\n    \
         on_failure: {deadline: deny}\n    channel: {keep_alive: 8s}\n    metadata: {x-tenant: tenant.txt}\n  \
         friends: {url: builtin, calls: 4}\nroutes: [{policies: [words, friends], ask: all}]",
    )
    .unwrap();
    let [words, friends] = &*loaded.config.policies else { panic!("two policies") };
    assert_eq!((&*words.name, words.observe, words.share, words.reply, words.calls), ("words", true, 0.5, 2 << 20, 9));
    assert_eq!((words.channel.keep_alive, words.channel.breaker_failures), (Duration::from_secs(8), 3));
    assert_eq!(words.metadata[0].1, "blue");
    assert!(words.metadata[0].1.is_sensitive() && !format!("{loaded:?}").contains("blue"));
    assert_eq!((friends.url.is_none(), friends.reply, friends.calls), (true, 1 << 20, 4));
    assert_eq!(friends.channel, loaded.config.channel);
    let printed = config::print(&loaded);
    let files = [("c.yaml", &*printed), ("etc/tenant.txt", "blue\n")];
    assert_eq!(load_exactly(&["--config", "c.yaml"], &files).unwrap().config, loaded.config, "{printed}");
}

#[test]
fn failure_rules_are_the_callbacks_own_the_contracts_the_policys_and_the_general_ones() {
    let own = "callbacks: {beforeAddFriend: {on_failure: {deadline: allow}}}\non_failure: {unavailable: allow}\n";
    let loaded = read(&format!(
        "{own}policies:\n  words: {{url: \"http://w:1\", on_failure: {{error: allow, deadline: deny}}}}\n  \
         friends: {{url: \"http://f:2\", on_failure: deny}}\nroutes: [{{policies: [words, friends], ask: chain}}]"
    ))
    .unwrap();
    let rules = |key: &str, policy| {
        let callback = Callback::by_name(key).unwrap();
        let classes = [Class::Deadline, Class::Error, Class::Unavailable, Class::Overloaded];
        let rule = |class| loaded.config.rules_for(callback, policy).rule(class);
        classes.map(|class| rule(class) == Rule::Allow)
    };
    assert_eq!(rules("beforeAddFriend", Some(0)), [true, true, true, false]);
    assert_eq!(rules("beforeAddFriend", Some(1)), [true, false, false, false]);
    assert_eq!(rules("beforeSendSingleMsg", Some(0)), [false, true, true, false]);
    assert_eq!(rules("beforeSendSingleMsg", Some(1)), [false; 4]);
    assert_eq!(rules("beforeSendSingleMsg", None), [false, false, true, false]);
    let open = Callback::all().iter().find(|callback| callback.fails_open).unwrap();
    assert_eq!(rules(open.config_key, Some(1)), [true; 4], "what breaks OpenIM's data does not obey a policy's rule");
}

#[test]
fn routes_name_policies_by_their_place() {
    let loaded = routed(
        "  - {callbacks: [beforeAddFriend], policies: friends}\n  - {timing: after, policies: [friends, words]}\n  \
         - {callbacks: beforeAddBlack, ask: none}\n  - {policies: [words, friends], ask: chain}",
    )
    .unwrap();
    let routes: Vec<_> = loaded.config.routes.all().iter().map(|route| (route.policies.clone(), route.ask)).collect();
    let chain = |policies: &[usize]| (policies.to_vec(), Ask::Chain);
    assert_eq!(routes, [chain(&[1]), chain(&[1, 0]), chain(&[]), chain(&[0, 1])]);
    assert_eq!(loaded.config.routes.of(Callback::fallback(), b""), Some(3));
    assert_eq!(lines(&loaded.warnings), [""; 0]);
    assert_round_trip(&loaded);
    // One needs no route.
    assert!(read("policies: {words: {url: \"http://w:1\"}}").is_ok());
    // Only what OpenIM sends needs one.
    let enabled = "openim: {webhooks: webhooks.yml}\n";
    let one = "routes: [{callbacks: [beforeAddFriend, afterAddFriend], policies: words}]";
    let loaded = read(&format!("{enabled}{TWO}{one}")).unwrap();
    let warnings = lines(&loaded.warnings);
    assert!(
        warnings.contains(&"etc/hookgate.yaml:2: policies.friends: is never asked: no route names it".to_owned()),
        "{warnings:?}"
    );
}

#[test]
fn each_mistake_in_a_policy_is_one_line_with_path_and_line() {
    let names = "expected a name of 1 to 32 lower-case letters, digits, - and _";
    let odd = "expected a name of lower-case letters, digits, - and _, that does not end in -bin";
    for (policies, line) in [
        ("", "policies: must name one at least".to_owned()),
        ("[a]", "policies: expected policies by their names".to_owned()),
        ("{Words: {url: builtin}}", format!("policies.Words: {names}")),
        (
            "{lock: {url: builtin}}",
            "policies.lock: is the name of a file of the outbox: it needs another name".to_owned(),
        ),
        (
            "{w: {url: builtin, metadata: {x-replica: s3cret}}}",
            "policies.w.metadata.x-replica: cannot read the file that policies.w.metadata.x-replica names: not there"
                .to_owned(),
        ),
        ("{w: {}}", "policies.w: names no url; say which service is asked".to_owned()),
        ("{w: {url: }}", "policies.w.url: has no value".to_owned()),
        ("{w: {url: builtin}, w: {url: builtin}}", "policies.w: given twice; it is on line 1 too".to_owned()),
        ("{w: {url: builtin, urll: x}}", "policies.w.urll: no such key; did you mean url?".to_owned()),
        ("{w: {url: builtin, share: 0}}", "policies.w.share: must be above 0".to_owned()),
        (
            "{w: {url: builtin, share: 2}}",
            "policies.w.share: \"2\": expected a number from 0 to 1, as in 0.1".to_owned(),
        ),
        ("{w: {url: builtin, observe: 1}}", "policies.w.observe: \"1\": expected true or false".to_owned()),
        (
            "{w: {url: \"http://w:1\", tls: {ca: ca.pem}}}",
            "policies.w.tls.ca: has no effect without a url that begins with https://".to_owned(),
        ),
        ("{w: {url: builtin, metadata: {X-A: tenant.txt}}}", format!("policies.w.metadata.X-A: {odd}")),
        ("{w: {url: builtin, metadata: {x-bin: tenant.txt}}}", format!("policies.w.metadata.x-bin: {odd}")),
        (
            "{w: {url: builtin, metadata: {grpc-timeout: tenant.txt}}}",
            "policies.w.metadata.grpc-timeout: is hookgate's own, or has a meaning in gRPC or HTTP".to_owned(),
        ),
        (
            "{w: {url: builtin, metadata: {x-a: [b]}}}",
            "policies.w.metadata.x-a: expected the path of the file that holds its value".to_owned(),
        ),
        (
            "{w: {url: builtin, metadata: {x-a: two.txt}}}",
            "policies.w.metadata.x-a: etc/two.txt: expected a single line".to_owned(),
        ),
        (
            "{w: {url: builtin, metadata: {x-a: odd.txt}}}",
            "policies.w.metadata.x-a: etc/odd.txt: expected printable ASCII".to_owned(),
        ),
        (
            "{w: {url: builtin, metadata: {x-a: s3cret}}}",
            "policies.w.metadata.x-a: cannot read the file that policies.w.metadata.x-a names: not there".to_owned(),
        ),
        (
            "{a: {url: builtin}, b: {url: builtin}}",
            "policies: several policies need routes, which say which of them is asked about what".to_owned(),
        ),
        ("{a: {url: builtin}}\npolicy: builtin", String::new()),
    ] {
        let found = read(&format!("policies: {policies}")).unwrap_err();
        let expected = match &*line {
            "" => "etc/hookgate.yaml:2: policy: policies names services too; one of the two is enough".to_owned(),
            line => format!("etc/hookgate.yaml:1: {line}"),
        };
        assert!(found.lines().any(|line| line == expected), "{policies}: {found}");
    }
}

#[test]
fn each_mistake_in_the_policies_of_a_route_is_one_line_with_path_and_line() {
    let rest = "  - {policies: words}";
    for (route, line) in [
        ("{policies: words, shadow: wordz}", "routes[0].shadow: \"wordz\": no such policy; did you mean words?"),
        (
            "{policies: words, guard: {failures: 1%}}",
            "routes[0].guard: has no effect without percent, to whose 0 it goes back",
        ),
        (
            "{name: a, callbacks: beforeAddFriend, percent: 5, by: from_user_id, policies: words, guard: {failures: 1%}}",
            "routes[0].guard: needs shadow: the policy that decided before, which is compared with",
        ),
        (
            "{name: a, callbacks: beforeAddFriend, percent: 5, by: from_user_id, policies: words, shadow: friends, guard: {least: 5}}",
            "routes[0].guard: needs a bound: differences, failures or p99",
        ),
        (
            "{name: a, callbacks: beforeAddFriend, percent: 5, by: from_user_id, policies: words, shadow: friends, guard: {failures: 1}}",
            "routes[0].guard.failures: \"1\": expected a percentage, as in 2% or 0.5%",
        ),
        (
            "{name: a, callbacks: beforeAddFriend, percent: 5, by: from_user_id, policies: words, shadow: friends, guard: {p99: 5, failures: 1%}}",
            "routes[0].guard.p99: \"5\": a time needs a unit, as in 800ms, 5s, 1m or 1h",
        ),
        (
            "{name: a, callbacks: beforeAddFriend, percent: 5, by: from_user_id, policies: words, shadow: friends, guard: {lest: 5, failures: 1%}}",
            "routes[0].guard.lest: no such key; did you mean least?",
        ),
        (
            "{name: a, callbacks: beforeAddFriend, percent: 5, by: from_user_id, policies: words, shadow: friends, guard: {least: 0, failures: 1%}}",
            "routes[0].guard.least: \"0\": expected a whole number of 1 or more",
        ),
        ("{policies: words, shadow: words}", "routes[0].shadow: \"words\" is asked by this route anyway"),
        ("{policies: words, shadow: {events: true}}", "routes[0].shadow: names no policy"),
        ("{policies: words, shadow: [friends]}", "routes[0].shadow: names no policy"),
        (
            "{policies: words, shadow: {policy: friends, event: true}}",
            "routes[0].shadow.event: no such key; did you mean events?",
        ),
        ("{policies: words, shadow: {policy: friends, events: 1}}", "routes[0].shadow.events: expected true or false"),
        (
            "{policies: words, timing: after, shadow: friends}",
            "routes[0].shadow: has no effect on After events; {policy: friends, events: true} sends them to it",
        ),
        ("{policies: word}", "routes[0].policies: \"word\": no such policy; did you mean words?"),
        ("{policies: x}", "routes[0].policies: \"x\": no such policy; expected words, friends"),
        ("{policies: [words, words], ask: chain}", "routes[0].policies: \"words\": named twice"),
        ("{policies: []}", "routes[0].policies: must name one at least"),
        (
            "{policies: [words, friends]}",
            "routes[0]: say how these policies are asked: ask: all (at once) or ask: chain (one after another)",
        ),
        ("{callbacks: 'before*'}", "routes[0]: asks nobody: name its policies, or say ask: none"),
        ("{policies: words, timing: before, ask: none}", "routes[0].ask: none asks nobody, and policies names some"),
        ("{timing: before, ask: all}", "routes[0].ask: all needs policies"),
        (
            "{callbacks: beforeMsgModify, policies: [words, friends], ask: all}",
            "routes[0].ask: beforeMsgModify has changes, and of policies that are asked at once one alone may make them: \
             ask: chain, or observe: true for the others",
        ),
    ] {
        let found = routed(&format!("  - {route}\n{rest}")).unwrap_err();
        assert_eq!(found, format!("etc/hookgate.yaml:3: {line}"), "{route}");
    }
    assert_eq!(
        routed("  - {callbacks: 'before*', policies: words}").unwrap_err(),
        "etc/hookgate.yaml:3: routes: no route takes every webhook of afterCreateSingleChatConversations and 28 more \
         callbacks: add one for what is left, with policies, or with ask: none"
    );
    let few = "{name: a, callbacks: 'before*Msg', percent: 5, by: send_id, policies: friends}";
    assert!(routed(&format!("  - {few}\n{rest}")).is_ok());
    assert!(routed(&format!("  - {few}")).unwrap_err().contains("no route takes every webhook of"));
    let same = "the same as routes[0]";
    assert!(routed(&format!("{rest}\n{rest}")).unwrap_err().contains(same));
}

#[test]
fn two_policies_cannot_have_the_same_streams() {
    let with = |one: &str, other: &str| {
        read(&format!(
            "after: {{store: \"nats://a:4222\"}}\npolicies: {{{one}: {{url: builtin}}, {other}: {{url: builtin}}}}\n\
             routes: [{{policies: [{one}, {other}], ask: all}}]"
        ))
    };
    for (one, other) in [("policy", "later"), ("dead", "policy"), ("a", "a-later"), ("a-dead", "a")] {
        let said = with(one, other).unwrap_err();
        let expected =
            format!("policies.{other}: its streams on the cluster would be those of {one}: it needs another name");
        assert!(said.contains(&expected), "{said}");
    }
    assert!(!with("a", "a-b").unwrap_err().contains("streams"));
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let rest = "  - {policies: words}";
    for (route, line) in [
        (
            "{callbacks: beforeAddFriend, policies: [words, friends], ask: chain}",
            "routes[0].ask: none of these callbacks has changes: ask: all takes less time",
        ),
        ("{timing: before, ask: none}", "policies.friends: is never asked: no route names it"),
    ] {
        let warnings = lines(&routed(&format!("  - {route}\n{rest}")).unwrap().warnings);
        assert!(warnings.iter().any(|warning| warning.ends_with(line)), "{route}: {warnings:?}");
    }
}
