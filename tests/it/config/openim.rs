//! OpenIM's own webhooks.yml.

use hookgate::config::Class;
use hookgate::config::Rule;

use super::{FRIEND, SINGLE, handling, lines, load, load_openim, millis, shipped};

#[test]
fn openim_s_own_file_is_read_in_the_shape_of_every_release() {
    let of = |name: &str| {
        let loaded = load_openim(&shipped(name)).unwrap_or_else(|report| panic!("{name}: {report}"));
        let mut budgets: Vec<_> = loaded
            .config
            .callbacks
            .iter()
            .map(|(command, own)| (*command, own.budget.unwrap_or_default().as_millis()))
            .collect();
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
fn openim_s_own_file_is_found_among_several_objects_of_kubernetes() {
    let openim = "url: http://localhost:10006\nbeforeAddFriend: {enable: true, timeout: 9}\n";
    let map = |key: &str| {
        let text: String = openim.lines().map(|line| format!("    {line}\n")).collect();
        format!("kind: ConfigMap\ndata:\n  log.yml: 'x: 1'\n  {key}: |\n{text}")
    };
    let in_list = |maps: &[String]| {
        let item = |map: &String| format!("- {}\n", map.trim_end().replace('\n', "\n  "));
        format!("apiVersion: v1\nkind: List\nitems:\n{}", maps.iter().map(item).collect::<String>())
    };
    let other = "kind: ConfigMap\ndata:\n  config.yaml: 'x: 1'\n".to_owned();
    let service = "kind: Service\nspec: {ports: []}\n".to_owned();
    for (text, line) in [
        (map("webhooks.yml"), 6),
        (format!("---\n{service}---\n{other}---\n{}---\n", map("webhooks.yml")), 14),
        (in_list(&[service.clone(), other.clone(), map("webhooks.yaml")]), 14),
        (format!("{}---\n{service}", in_list(&[map("webhooks.yml")])), 9),
        // Of plain documents OpenIM reads the first.
        (format!("{openim}---\nbeforeAddFriend: {{timeout: 1}}\n"), 2),
    ] {
        let loaded = load_openim(&text).unwrap_or_else(|report| panic!("{report}\n{text}"));
        assert_eq!((millis(&loaded.config, FRIEND), lines(&loaded.warnings).len()), (8500, 0), "{text}");
        let origin = loaded.origins["callbacks.beforeAddFriend.budget"].to_string();
        assert_eq!(origin, format!("webhooks.yml:{line}"), "{text}");
    }
    for (text, expected) in [
        (
            format!("{}---\n{}", map("webhooks.yml"), map("webhooks.yml")),
            "webhooks.yml:11: a second ConfigMap holds webhooks.yml; the first is on line 4",
        ),
        (
            format!("{service}---\n{}", other.replace("config.yaml", "other.yml")),
            "webhooks.yml:6: data: holds no webhooks.yml",
        ),
        (service, "webhooks.yml: names no callback; expected OpenIM's webhooks.yml, or the config.yaml of 3.5"),
        (in_list(&[]), "webhooks.yml: names no callback; expected OpenIM's webhooks.yml, or the config.yaml of 3.5"),
        (String::new(), "webhooks.yml:1: expected url and callbacks"),
    ] {
        assert_eq!(load_openim(&text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn what_openim_has_enabled_and_will_not_work_is_said() {
    let here = "url: http://127.0.0.1:10006\n";
    let table = [
        (
            "beforeAddBlack: {enable: true}\nafterTomorrow: {enable: true}",
            ":3: afterTomorrow: enabled, but this build knows no such callback; if OpenIM sends it, it goes to \
             FallbackPolicyService with the budget and rules of all callbacks",
        ),
        (
            "beforeAddBlack: {enable: true}\nAfterGroupMsgRevoke: {enable: true}",
            ":3: AfterGroupMsgRevoke: enabled, but it switches nothing on in any OpenIM; afterRevokeMsg is the key that works",
        ),
        ("afterUserKickOff: {enable: true}", ":2: afterUserKickOff: enabled, but no OpenIM that is known sends it"),
        (
            "afterSendGroupMsg: {enable: true, attentionIds: [g1]}",
            ":2: afterSendGroupMsg.attentionIds: is compared with user IDs, never with group IDs: OpenIM 3.8.4 sends no \
             event at all, 3.8 and 3.8.3 only those of senders that it lists, 3.5 and 3.7 do not read it",
        ),
        (
            "afterMsgSaveDB:\n  enable: true\n  attentionIds:\n    - u1",
            ":5: afterMsgSaveDB.attentionIds: has no effect: OpenIM sends an event for every message",
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
    // What is not enabled, or has its documented effect.
    for text in [
        "afterSendSingleMsg: {enable: true, attentionIds: [u1]}",
        "afterSendGroupMsg: {enable: true, attentionIds: []}\nafterMsgSaveDB: {enable: true, attentionIds: }",
        "afterRevokeMsg: {enable: true}\nafterGroupMsgRevoke: {enable: false}\nafterUserKickOff: {enable: false}\n\
         afterSendGroupMsg: {enable: false, attentionIds: [g1]}",
    ] {
        let loaded = load_openim(&format!("{here}{text}")).expect(text);
        assert_eq!(lines(&loaded.warnings), [""; 0], "{text}");
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
