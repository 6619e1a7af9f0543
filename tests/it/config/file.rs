//! hookgate.yaml: what it may say, and who goes before whom.

use std::path::Path;
use std::time::Duration;

use hookgate::config::Class;
use hookgate::config::{self, Config, Handling, Order, Rule, Rules};
use hookgate::contract::Callback;

use super::{ALL_OF_IT, FRIEND, SINGLE, assert_round_trip, handling, lines, load, load_openim_and, load_yaml, millis};
use crate::support::OPEN;

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
        [millis(&config, FRIEND), millis(&config, SINGLE), config.budget.as_millis()]
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
    assert_eq!(config.policy, Some("http://flag:1".parse().unwrap()));
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

/// First the callback's class, then its default, then the contract's allow, and only then the rules of all callbacks.
#[test]
fn a_callback_that_fails_open_is_denied_by_its_own_rules_alone() {
    use Rule::{Allow, Deny};
    let key = Callback::by_command(OPEN[0]).unwrap().config_key;
    for (general, own, expected) in [
        ("", "", [Allow; 3]),
        ("deny", "", [Allow; 3]),
        ("{error: deny}", "", [Allow; 3]),
        ("{default: deny, deadline: deny, error: deny}", "", [Allow; 3]),
        ("allow", "deny", [Deny; 3]),
        ("deny", "{error: deny}", [Allow, Allow, Deny]),
        ("allow", "{default: deny, error: allow}", [Deny, Deny, Allow]),
        ("deny", "{default: allow, deadline: deny}", [Allow, Deny, Allow]),
        ("{error: deny}", "{deadline: deny}", [Allow, Deny, Allow]),
    ] {
        let or_null = |rules: &str| if rules.is_empty() { "~".to_owned() } else { rules.to_owned() };
        let yaml = format!("on_failure: {}\ncallbacks: {{{key}: {{on_failure: {}}}}}", or_null(general), or_null(own));
        let loaded = load_yaml(&yaml).unwrap();
        let rules = handling(&loaded.config, OPEN[0]).on_failure;
        let rules = [Class::Unavailable, Class::Deadline, Class::Error].map(|class| rules.rule(class));
        assert_eq!(rules, expected, "{yaml}");
        assert_eq!(loaded.warnings.is_empty(), !expected.contains(&Deny), "{yaml}");
        assert_round_trip(&loaded);
    }
    // What is said of one is said of no other, and what was said of all by flag is no rule of its own.
    for args in [&[][..], &["--on-failure", "deny"], &["--on-failure", "deny,unavailable=deny"]] {
        let config = load(args, &[]).unwrap().config;
        for callback in Callback::all() {
            let expected = if OPEN.contains(&callback.command) { Allow } else { Deny };
            for class in Class::ALL {
                assert_eq!(config.handling(callback).on_failure.rule(class), expected, "{}", callback.command);
            }
        }
    }
}

#[test]
fn a_rule_that_breaks_openim_is_warned_of_in_the_words_of_the_contract() {
    let yaml = "callbacks:\n  beforeOnlinePush: {on_failure: {error: deny, default: allow}}\n  superGroupOnlinePush:\n    \
                on_failure: deny\n  beforeAddFriend: {on_failure: deny}\n  beforeOfflinePush: {on_failure: allow, budget: 1s}";
    let warnings = lines(&load_yaml(yaml).unwrap().warnings);
    let [group, online] = &warnings[..] else { panic!("{warnings:?}") };
    let [group, online] = if group.contains("superGroup") { [group, online] } else { [online, group] };
    for (warning, parts) in [
        (
            online,
            [
                "hookgate.yaml:2: callbacks.beforeOnlinePush.on_failure: ",
                "(error): ",
                "messages are stored and not pushed",
            ],
        ),
        (
            group,
            [
                "hookgate.yaml:4: callbacks.superGroupOnlinePush.on_failure: ",
                "invalid_reply): ",
                "stay in the dismissed group",
            ],
        ),
    ] {
        for part in parts {
            assert!(warning.contains(part), "{part:?} in {warning:?}");
        }
    }
}

#[test]
fn failed_continue_adds_nothing_to_a_callback_that_fails_open() {
    let key = Callback::by_command(OPEN[0]).unwrap().config_key;
    let yaml = "openim: {webhooks: w.yml, honour_failed_continue: true}\non_failure: {error: deny}";
    for wish in [true, false] {
        let openim = format!("url: http://127.0.0.1:10006\n{key}: {{enable: true, failedContinue: {wish}}}");
        let loaded = load_openim_and(yaml, &openim);
        assert_eq!(handling(&loaded.config, OPEN[0]).on_failure, Rules::all(Rule::Allow), "{wish}");
        assert_round_trip(&loaded);
    }
}

#[test]
fn a_config_key_of_two_callbacks_sets_both_and_older_keys_are_known() {
    let config = load_yaml("callbacks: {beforeMemberJoinGroup: {budget: 2s}, msgModify: {budget: 3s}}").unwrap().config;
    assert_eq!(millis(&config, "callbackBeforeMembersJoinGroupCommand"), 2000);
    assert_eq!(millis(&config, "callbackBeforeMemberJoinGroupCommand"), 2000);
    assert_eq!(millis(&config, "callbackBeforeMsgModifyCommand"), 3000);
    assert_eq!(config.callbacks.len(), 3);
    let general = Handling { budget: config.budget, on_failure: Rules::default(), order: Order::None };
    assert_eq!(config.handling(Callback::fallback()), general);
}

#[test]
fn the_order_of_a_callback_goes_before_that_of_all() {
    const QUIT: &str = "callbackAfterQuitGroupCommand";
    const KICK: &str = "callbackAfterKickGroupCommand";
    use Order::{Key, None};
    for (yaml, expected) in [
        ("", [Key, Key]),
        ("after: {order: key}", [Key, Key]),
        ("after: {order: none}", [None, None]),
        ("callbacks: {afterQuitGroup: {order: none}}", [None, Key]),
        ("callbacks: {quitGroup: {order: none}, afterKickGroupMember: {order: key}}", [None, Key]),
        ("after: {order: none}\ncallbacks: {afterQuitGroup: {order: key}}", [Key, None]),
    ] {
        let loaded = load_yaml(yaml).unwrap();
        assert_eq!([QUIT, KICK].map(|command| handling(&loaded.config, command).order), expected, "{yaml}");
        assert_round_trip(&loaded);
    }
    // Where events have no key there is no order, and none can be asked for.
    let config = load_yaml("after: {order: key}").unwrap().config;
    for callback in Callback::all().iter().filter(|callback| callback.ordered_by.is_empty()) {
        assert_eq!(config.handling(callback).order, None, "{}", callback.command);
        let key = callback.config_key;
        let report = load_yaml(&format!("callbacks: {{{key}: {{order: none}}}}")).expect_err(key);
        assert!(report.contains(&format!("callbacks.{key}.order: {key} ")), "{report}");
    }
    // A reload keeps after.order, and applies that of a callback: it is not forgotten where the two are one.
    let said = load_yaml("after: {order: none}\ncallbacks: {afterQuitGroup: {order: none}}").unwrap();
    let mut reloaded = said.config.clone();
    reloaded.after.order = Key;
    assert_eq!([QUIT, KICK].map(|command| handling(&reloaded, command).order), [None, Key]);
    assert!(config::print(&said).contains("\n  afterQuitGroup:\n    order: none  # hookgate.yaml:2\n"));
}

#[test]
fn failures_may_hold_up_others_for_a_while_or_not_at_all() {
    let hold = |yaml: &str| load_yaml(yaml).unwrap().config.after.hold;
    for (yaml, seconds) in [("", 30), ("after: {hold: 0s}", 0), ("after: {hold: 5m}", 300)] {
        assert_eq!(hold(yaml), Duration::from_secs(seconds), "{yaml}");
        assert_round_trip(&load_yaml(yaml).unwrap());
    }
}

#[test]
fn every_setting_reaches_its_place() {
    let said = load_yaml(ALL_OF_IT).unwrap().config;
    assert_eq!(said.listen.tcp().unwrap().port(), 1);
    assert_eq!(said.admin_listen.tcp().unwrap().port(), 2);
    assert_eq!(said.admin_hosts, ["gate.test", "10.0.0.1"]);
    assert_eq!(said.policy, Some("https://policy".parse().unwrap()));
    assert_eq!(said.threads, 3);
    assert_eq!(said.log, "warn,hookgate=debug".parse().unwrap());
    assert_eq!(said.budget, Duration::from_micros(1_234_567));
    assert_eq!(handling(&said, "callbackAfterAddFriendCommand").budget, Duration::new(1, 1));
    assert_eq!(handling(&said, "callbackAfterQuitGroupCommand").order, Order::Key);
    assert_eq!(said.denial.code, 5001);
    assert_eq!(said.denial.messages[&Class::Unavailable], "down: # no \"policy\"\n\t\\ \u{7}\u{2028}\u{85}");
    let texts = [Class::Deadline, Class::Overloaded, Class::Unimplemented, Class::Error, Class::InvalidReply];
    assert_eq!(texts.map(|class| &*said.denial.messages[&class]), ["späť", "yes", "5", "~", " x "]);
    let limits =
        config::Limits { body: 1537, head: 9_000, reply: 2 << 30, memory: 5_000_000, calls: 1, connections: 2 };
    assert_eq!(said.limits, limits);
    let seconds = Duration::from_secs;
    let channel = config::Channel {
        connect_timeout: Duration::from_nanos(1),
        keep_alive: seconds(90),
        keep_alive_timeout: seconds(3600),
        reconnect_max: seconds(1),
        resolve_interval: Duration::ZERO,
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
        order: Order::None,
        hold: seconds(8),
        pause_max: seconds(7),
        schedule: vec![seconds(1), seconds(60)],
        sync: config::SyncRule::Each,
        when_full: config::WhenFull::DropDead,
        dead_age: seconds(24 * 3600),
        dead_bytes: 2_000_000,
        store: vec!["nats://a:4222".parse().unwrap(), "tls://b:4222".parse().unwrap()],
        store_within: Duration::from_millis(300),
        nats: said.after.nats.clone(),
    };
    assert_eq!(said.after, after);
    let nats = &said.after.nats;
    assert_eq!((&*nats.name, nats.replicas, nats.partitions), ("gate", 5, 4));
    assert_eq!(
        (nats.user.as_deref(), format!("{:?}", nats.user_password)),
        (Some("gate"), "Some(Secret(not shown))".into())
    );
    assert!(nats.roots.is_some() && nats.identity.is_some());
    assert_eq!(said.data.as_deref(), Some(std::path::Path::new("/data")));
    assert_eq!(said.drain, config::Drain { delay: seconds(60), time: seconds(120) });
    let fields = vec!["message.content".to_owned(), "recv_id".to_owned()];
    assert_eq!(said.decisions, config::Decisions { to: Some(config::DecisionsTo::Stdout), allows: 0.25, fields });
    let traces = config::Traces { endpoint: Some("https://collector".parse().unwrap()), sample: 0.5 };
    assert_eq!(said.traces, traces);
    assert!(said.access.users.unwrap().contain(b"user:password"));
    assert_eq!(said.access.secret_paths.unwrap().stripped("/s3cret/rest"), Some("/rest"));
    assert_eq!(said.access.sources, ["10.0.0.0/8", "::1/128"].map(|range| range.parse().unwrap()));
    assert_eq!(said.access.trusted_proxies, ["10.0.0.1/32".parse().unwrap()]);
    let (tls, policy_tls) = (said.tls, said.policy_tls);
    let (server, shown) = (tls.server.unwrap(), policy_tls.identity.unwrap());
    for (identity, key, name) in [(&server.identity, tls.key, "tls"), (&shown, policy_tls.key, "policy_tls")] {
        let files = (&*identity.certificates.file, key.as_deref());
        assert_eq!(files, (Path::new("/tls/both.pem"), Some(Path::new("/tls/both.key"))), "{name}");
    }
    assert_eq!(server.client_ca.unwrap().roots.certificates.file, Path::new("/tls/ca.pem"));
    assert_eq!(policy_tls.roots.unwrap().certificates.file, Path::new("/tls/ca.pem"));
    assert_eq!(policy_tls.server_name.as_deref(), Some("policy.test"));
}

/// The paths of all settings under a group: whoever says nonsense of a group is told its keys.
fn paths_under(group: &str) -> Vec<String> {
    let mut yaml = "- nonsense".to_owned();
    for key in group.rsplit('.').filter(|key| !key.is_empty()) {
        yaml = if yaml == "- nonsense" { format!("{key}: nonsense") } else { format!("{key}: {{{yaml}}}") };
    }
    let report = load_yaml(&yaml).err().unwrap_or_default();
    match report.split_once("keys with values: ") {
        None => vec![group.to_owned()],
        Some((_, keys)) => {
            let full = |key: &str| if group.is_empty() { key.to_owned() } else { format!("{group}.{key}") };
            keys.split(", ").flat_map(|key| paths_under(&full(key))).collect()
        }
    }
}

#[test]
fn nothing_that_can_be_said_is_missing_above() {
    let said = load_yaml(ALL_OF_IT).unwrap();
    let printed = config::print(&said);
    let mut paths = paths_under("");
    // Nobody can say the first two together with a policy; policies, routes and callbacks have a line each.
    let others = ["builtin_listen", "policies", "routes", "callbacks"];
    paths.retain(|path| !others.contains(&&**path) && !path.starts_with("openim."));
    // There is one login, and a user's is said above.
    let other_logins = ["after.nats.token", "after.nats.nkey", "after.nats.credentials"];
    paths.retain(|path| !other_logins.contains(&&**path));
    assert!(paths.len() > 50 && paths.iter().any(|path| path == "denial.messages.error"), "{paths:?}");
    for path in paths {
        assert!(said.origins.contains_key(&path), "{path} is not said");
        let key = path.rsplit('.').next().unwrap();
        let indent = "  ".repeat(path.matches('.').count());
        assert!(printed.lines().any(|line| line.starts_with(&format!("{indent}{key}: "))), "{path} is not printed");
    }
}

#[test]
fn every_path_in_a_file_begins_where_the_file_is() {
    let yaml = "data: outbox\ndecisions: {to: decisions.log}";
    let of = |name: &str, args: &[&str]| {
        let config = load(&[&["--config", name], args].concat(), &[(name, yaml)]).unwrap().config;
        (config.data.unwrap(), config.decisions.to.unwrap())
    };
    let log = |path: &str| config::DecisionsTo::File(path.into());
    assert_eq!(of("/etc/hookgate.yaml", &[]), ("/etc/outbox".into(), log("/etc/decisions.log")));
    assert_eq!(of("hookgate.yaml", &[]), ("outbox".into(), log("decisions.log")));
    // On the command line it is the shell's.
    assert_eq!(of("/etc/hookgate.yaml", &["--data", "outbox"]), ("outbox".into(), log("/etc/decisions.log")));
}

#[test]
fn with_a_directory_after_events_have_days_and_what_was_said_stays() {
    let loaded = load(&["--config", "c.yaml", "--data", "/data"], &[("c.yaml", "after: {age: 2h}")]).unwrap();
    let expected = config::After {
        attempts: 1_000,
        age: Duration::from_secs(2 * 3_600),
        retry_max: Duration::from_secs(10 * 60),
        events: 20_000_000,
        bytes: 10 << 30,
        ..config::After::default()
    };
    assert_eq!(loaded.config.after, expected);
    assert_round_trip(&loaded);
    let without = load(&[], &[]).unwrap();
    assert_eq!(without.config.after, config::After::default());
}
