//! Routes in the file: what they take, and each mistake in one line.

use hookgate::config::Loaded;
use hookgate::contract::{Callback, transcode};
use serde_json::json;

use super::{assert_round_trip, lines, load, load_yaml};
use crate::support::{file, program};

/// Reads routes with the files that they may name.
fn read(routes: &str) -> Result<Loaded, String> {
    let yaml = format!("routes:\n{routes}\n");
    let windows = "\u{feff}u1\r\n\r\n# a comment\r\nu2\r\n";
    let files = [
        ("etc/hookgate.yaml", &*yaml),
        ("etc/ids.txt", windows),
        ("etc/twice.txt", "u1\nu2\nu1\nu2\n"),
        ("etc/empty.txt", "\n"),
        ("etc/blank.txt", "u1\nu 2\n"),
    ];
    load(&["--config", "etc/hookgate.yaml"], &files)
}

/// The name of the route that a single chat's message takes, with these members in place of the example's.
fn taken(loaded: &Loaded, members: &[(&str, serde_json::Value)]) -> Option<String> {
    let callback = Callback::by_name("beforeSendSingleMsg").unwrap();
    let mut body: serde_json::Value = serde_json::from_str(callback.example).unwrap();
    for (name, value) in members {
        body[*name] = value.clone();
    }
    let message = transcode(callback.request, callback.command, body.to_string().as_bytes()).unwrap().0;
    let routes = &loaded.config.routes;
    routes.of(callback, &message).map(|route| routes.all()[route].name.to_string())
}

#[test]
fn the_first_route_that_matches_is_taken() {
    let loaded = read(
        "  - {name: text, callbacks: [before*SingleMsg], when: {content_type: 101}}\n\
         \x20 - {callbacks: [beforeSendSingleMsg], when: {message.content_type: [1000..5000]}, ask: none}\n\
         \x20 - {name: rest, timing: before, ask: none}",
    )
    .unwrap();
    for (content_type, route) in
        [(101, "text"), (1000, "routes[1]"), (5000, "routes[1]"), (999, "rest"), (5001, "rest")]
    {
        assert_eq!(taken(&loaded, &[("contentType", json!(content_type))]).as_deref(), Some(route), "{content_type}");
    }
    let after = Callback::by_name("afterSendSingleMsg").unwrap();
    assert_eq!(loaded.config.routes.of(after, b""), None);
    assert_eq!(loaded.warnings, []);
    assert_round_trip(&loaded);
}

#[test]
fn every_condition_takes_what_it_says() {
    for (when, takes, leaves) in [
        ("send_id: u1", json!({"sendID": "u1"}), json!({"sendID": "u10"})),
        ("send_id: {in: [u1, u2]}", json!({"sendID": "u2"}), json!({"sendID": "u3"})),
        ("send_id: {prefix: bot_}", json!({"sendID": "bot_7"}), json!({"sendID": "abot_7"})),
        ("send_id: {file: ids.txt}", json!({"sendID": "u2"}), json!({"sendID": "# a comment"})),
        ("send_id: {file: [ids.txt], in: u9, prefix: z}", json!({"sendID": "u9"}), json!({"sendID": "u8"})),
        ("notification: true", json!({"contentType": 1000}), json!({"contentType": 999})),
        ("notification: false", json!({"contentType": 5001}), json!({"contentType": 5000})),
        ("content_type: [101, 106]", json!({"contentType": 106}), json!({"contentType": 105})),
        ("content_type: 1000..", json!({"contentType": 1000}), json!({"contentType": 999})),
        ("content_type: ..-1", json!({"contentType": -1}), json!({"contentType": 0})),
        ("ex: {present: true}", json!({"ex": "{}"}), json!({"ex": null})),
        ("ex: {present: false}", json!({"ex": null}), json!({"ex": "{}"})),
        (
            "not: {send_id: u1, recv_id: u2}",
            json!({"sendID": "u1", "recvID": "u3"}),
            json!({"sendID": "u1", "recvID": "u2"}),
        ),
        (
            "any: [{send_id: u1}, {recv_id: u2}]",
            json!({"sendID": "u7", "recvID": "u2"}),
            json!({"sendID": "u7", "recvID": "u7"}),
        ),
        (
            "at_user_list: {prefix: bot_, all: true}",
            json!({"atUserList": ["bot_1", "bot_2"]}),
            json!({"atUserList": ["bot_1", "u2"]}),
        ),
        ("at_user_list: {in: u1, all: true}", json!({"atUserList": ["u1"]}), json!({"atUserList": []})),
        ("at_user_list: {in: u1, all: false}", json!({"atUserList": ["u2", "u1"]}), json!({"atUserList": ["u2"]})),
        ("at_user_list: {present: true}", json!({"atUserList": ["u2"]}), json!({"atUserList": null})),
    ] {
        let loaded = read(&format!("  - {{callbacks: [beforeSendSingleMsg], when: {{{when}}}, ask: none}}")).unwrap();
        for (members, route) in [(takes, Some("routes[0]")), (leaves, None)] {
            let members: Vec<_> =
                members.as_object().unwrap().iter().map(|(name, value)| (&**name, value.clone())).collect();
            assert_eq!(taken(&loaded, &members).as_deref(), route, "{when} of {members:?}");
        }
    }
}

#[test]
fn a_percentage_takes_the_same_users_everywhere_and_keeps_them_as_it_grows() {
    let of = |name: &str, percent: &str| {
        let callbacks = "callbacks: [beforeSendSingleMsg], by: send_id, ask: none";
        let loaded = read(&format!("  - {{name: {name}, percent: {percent}, {callbacks}}}")).unwrap();
        let takes = |user: &usize| taken(&loaded, &[("sendID", json!(format!("u{user}")))]).is_some();
        (0..2000).filter(takes).collect::<std::collections::BTreeSet<_>>()
    };
    let (few, more, others) = (of("first", "5"), of("first", "20"), of("second", "20"));
    assert!(few.is_subset(&more), "{few:?}");
    assert!((60..140).contains(&few.len()) && (320..480).contains(&more.len()), "{} {}", few.len(), more.len());
    assert!((40..130).contains(&more.intersection(&others).count()), "each name takes users of its own");
    assert_eq!(of("first", "100").len(), 2000);
    // The formula of the manual.
    assert_eq!(few.iter().take(3).collect::<Vec<_>>(), EXPECTED.iter().collect::<Vec<_>>());
}

/// The first three of u0, u1, u2 and so on among the first 5 %, by Python's `hashlib`.
const EXPECTED: [usize; 3] = [3, 18, 88];

#[test]
fn a_cohort_is_in_whatever_the_percentage_and_nobody_without_a_value() {
    let loaded = read(
        "  - {name: first, callbacks: [beforeSendSingleMsg], percent: 0.001, by: send_id, cohort: ids.txt, ask: none}\n\
         \x20 - {name: second, callbacks: [beforeSendSingleMsg], percent: 100, by: send_id, ask: none}",
    )
    .unwrap();
    for (user, route) in [("u1", Some("first")), ("u2", Some("first")), ("u4", Some("second")), ("", None)] {
        assert_eq!(taken(&loaded, &[("sendID", json!(user))]).as_deref(), route, "{user}");
    }
}

#[test]
fn each_mistake_in_a_route_is_one_line_with_path_and_line() {
    for (route, lines) in [
        (
            "5",
            "routes[0]: expected keys with values: name, callbacks, timing, when, percent, by, cohort, policies, ask, shadow, guard",
        ),
        ("{whem: {}}", "routes[0].whem: no such key; did you mean when?"),
        ("{when: , timing: before, ask: none}", "routes[0].when: has no value"),
        ("{when: {}}", "routes[0].when: must have one condition at least"),
        ("{when: 5}", "routes[0].when: expected conditions by the name of a field"),
        ("{ask: policy}", "routes[0].ask: expected none, all or chain"),
        ("{timing: before, ask: [none]}", "routes[0].ask: expected a single value"),
        ("{ask: none}", "routes[0].ask: needs callbacks or timing; callbacks: '*' takes all"),
        ("{name: 'routes[1]'}", "routes[0].name: \"routes[1]\": a route without a name is called so"),
        ("{timing: during}", "routes[0].timing: \"during\": expected before or after"),
        (
            "{callbacks: beforeAddFriend, timing: after}",
            "routes[0].timing: none of these callbacks is sent after its operation",
        ),
        (
            "{callbacks: beforeAddFrend}",
            "routes[0].callbacks: \"beforeAddFrend\": no such callback; did you mean beforeAddFriend?",
        ),
        ("{callbacks: [\"x*\"]}", "routes[0].callbacks: \"x*\": no such callback; hookgate callbacks lists their keys"),
        ("{callbacks: []}", "routes[0].callbacks: must name one at least"),
        (
            "{callbacks: beforeAddFriend, when: {notification: true}}",
            "routes[0].when.notification: no field of beforeAddFriend says what kind of message it is",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {notification: 1}}",
            "routes[0].when.notification: expected true or false",
        ),
        ("{callbacks: {a: b}}", "routes[0].callbacks: expected a single value, or a list of them"),
        ("{name: a, name: b}", "routes[0].name: given twice; it is on line 2 too"),
        ("{name: ' '}", "routes[0].name: \" \": must not be empty"),
        (
            "{callbacks: beforeAddFriend, when: {content_type: 1}}",
            "routes[0].when.content_type: no field of beforeAddFriend; hookgate callbacks beforeAddFriend lists them",
        ),
        (
            "{callbacks: [beforeAddFriend, beforeAddBlack, beforeSendSingleMsg], when: {sendid: 1}}",
            "routes[0].when.sendid: no field of beforeSendSingleMsg, nor of 2 more callbacks of this route; did you mean message.send_id?",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {content_type: text}}",
            "routes[0].when.content_type: \"text\": expected a whole number or a range, as in 101 or 1000..5000",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {content_type: ..}}",
            "routes[0].when.content_type: \"..\": expected a whole number or a range, as in 101 or 1000..5000",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {content_type: 5..1}}",
            "routes[0].when.content_type: \"5..1\": its end is before its beginning",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {content_type: {prefix: 1}}}",
            "routes[0].when.content_type: prefix and file are for texts, and this field is none",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: {prefix: ''}}}",
            "routes[0].when.send_id.prefix: must not be empty: every text begins with it",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: {like: u}}}",
            "routes[0].when.send_id.like: no such test; expected in, prefix, file, present, all",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: {present: 1}}}",
            "routes[0].when.send_id.present: expected true or false",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: {present: true, in: u1}}}",
            "routes[0].when.send_id: present and values at once; not and any join conditions",
        ),
        ("{callbacks: beforeSendSingleMsg, when: {send_id: {}}}", "routes[0].when.send_id: must name one at least"),
        ("{callbacks: beforeSendSingleMsg, when: {send_id: }}", "routes[0].when.send_id: has no value"),
        ("{callbacks: beforeSendSingleMsg, when: {not: {send_id: }}}", "routes[0].when.not.send_id: has no value"),
        (
            "{callbacks: beforeSendSingleMsg, when: {any: {send_id: u1}}}",
            "routes[0].when.any: expected a list of conditions",
        ),
        ("{callbacks: beforeSendSingleMsg, when: {any: []}}", "routes[0].when.any: must name one at least"),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: {file: gone.txt}}}",
            "routes[0].when.send_id.file: cannot read etc/gone.txt: not there",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: {file: empty.txt}}}",
            "routes[0].when.send_id.file: etc/empty.txt holds no ID",
        ),
        // A condition that is lost must not take everything.
        ("{callbacks: beforeSendSingleMsg, when: {any: [{send_id: u1}, null]}}", "routes[0].when.any[1]: has no value"),
        ("{callbacks: beforeSendSingleMsg, when: {not: }}", "routes[0].when.not: has no value"),
        ("{callbacks: beforeSendSingleMsg, when: {not: {not: }}}", "routes[0].when.not.not: has no value"),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: 'u1,u2'}}",
            "routes[0].when.send_id: \"u1,u2\": expected one value; a list is [a, b]",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: 1000..5000}}",
            "routes[0].when.send_id: \"1000..5000\": a range is for numbers, and this field is a text",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {at_user_list: u1}}",
            "routes[0].when.at_user_list: a list: say all: true if each of its values must be wanted, all: false if one is enough",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: {in: u1, all: true}}}",
            "routes[0].when.send_id: all has no effect: this field has one value",
        ),
        (
            "{callbacks: beforeUserRegister, when: {nickname: {in: x, all: true}}}",
            "routes[0].when.nickname: no field of beforeUserRegister; did you mean users.nickname?",
        ),
        (
            "{callbacks: callbackBeforeMembersJoinGroupCommand, when: {user_id: u1}}",
            "routes[0].when.user_id: no field of callbackBeforeMembersJoinGroupCommand; did you mean member_list.user_id?",
        ),
        (
            "{callbacks: beforeSendSingleMsg, when: {send_id: {file: blank.txt}}}",
            "routes[0].when.send_id.file: etc/blank.txt:2: expected one ID on each line, without blanks, commas and quotes",
        ),
        (
            "{name: a, callbacks: beforeSendSingleMsg, percent: 0, by: send_id}",
            "routes[0].percent: \"0\": expected a number above 0 and up to 100",
        ),
        (
            "{name: a, callbacks: beforeSendSingleMsg, percent: 101, by: send_id}",
            "routes[0].percent: \"101\": expected a number above 0 and up to 100",
        ),
        (
            "{name: a, callbacks: beforeSendSingleMsg, percent: nan, by: send_id}",
            "routes[0].percent: \"nan\": expected a number above 0 and up to 100",
        ),
        (
            "{callbacks: beforeSendSingleMsg, percent: 5, by: send_id}",
            "routes[0]: needs a name: it decides which users the percentage takes",
        ),
        (
            "{name: a, callbacks: beforeSendSingleMsg, percent: 5}",
            "routes[0]: needs by: the field whose value decides, such as a user's ID",
        ),
        (
            "{callbacks: beforeSendSingleMsg, cohort: gone.txt, by: send_id}",
            "routes[0].cohort: cannot read etc/gone.txt: not there",
        ),
        ("{callbacks: beforeSendSingleMsg, by: send_id}", "routes[0].by: has no effect without percent or cohort"),
        (
            "{callbacks: beforeSendSingleMsg, cohort: ids.txt, by: content_type}",
            "routes[0].by: content_type is not a single text",
        ),
        (
            "{callbacks: beforeSendSingleMsg, cohort: ids.txt, by: sent_id}",
            "routes[0].by: no field of beforeSendSingleMsg; did you mean message.send_id?",
        ),
    ] {
        let expected = format!("etc/hookgate.yaml:2: {lines}");
        assert_eq!(read(&format!("  - {route}")).unwrap_err(), expected, "{route}");
    }
    for yaml in ["routes: []", "routes: {a: b}", "routes:"] {
        assert_eq!(load_yaml(yaml).unwrap_err(), "hookgate.yaml:1: routes: expected a list of routes");
    }
    let equal = read("  - {callbacks: beforeAddFriend, ask: none}\n  - {callbacks: beforeAddFriend, ask: none}");
    assert_eq!(equal.unwrap_err(), "etc/hookgate.yaml:3: routes[1]: the same as routes[0]");
    let named = read("  - {name: a, timing: before}\n  - {name: a, timing: after}");
    assert_eq!(named.unwrap_err(), "etc/hookgate.yaml:3: routes[1].name: \"a\": the name of another route");
}

#[test]
fn of_two_callbacks_with_one_key_each_can_have_its_own_route() {
    let loaded = read(
        "  - {callbacks: callbackBeforeMembersJoinGroupCommand, when: {member_list.user_id: {prefix: bot_, all: true}}, ask: none}\n\
         \x20 - {callbacks: callbackBeforeMemberJoinGroupCommand, when: {user_id: {prefix: bot_}}, ask: none}",
    )
    .unwrap();
    assert_eq!(loaded.warnings, []);
    assert_round_trip(&loaded);
}

#[test]
fn stars_stand_for_any_letters() {
    for (pattern, callback) in
        [("*SingleMsg", "afterSendSingleMsg"), ("b*Send*S*", "beforeSendSingleMsg"), ("**", "afterAddFriend")]
    {
        let loaded = read(&format!("  - {{callbacks: '{pattern}', ask: none}}")).unwrap();
        let callback = Callback::by_name(callback).unwrap();
        assert!(loaded.config.routes.of(callback, b"").is_some(), "{pattern}");
    }
    for pattern in ["*singlemsg", "beforeSendSingleMsg*Msg", &"*e".repeat(40)] {
        assert!(read(&format!("  - {{callbacks: '{pattern}', ask: none}}")).unwrap_err().contains("no such callback"));
    }
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    for (routes, warning) in [
        (
            "  - {callbacks: [beforeAddFriend, beforeAddBlack], ask: none}\n  - {callbacks: beforeAddBlack}",
            "etc/hookgate.yaml:3: routes[1]: never taken: all of its webhooks are taken by a route before it",
        ),
        (
            "  - {callbacks: '*', ask: none}",
            "etc/hookgate.yaml:2: routes: the policy is never asked: every Before callback is skipped",
        ),
        (
            "  - {callbacks: beforeSendSingleMsg, cohort: twice.txt, by: send_id}",
            "etc/hookgate.yaml:2: routes[0].cohort: etc/twice.txt:3: the ID of line 1 again, and 1 of other lines",
        ),
        (
            "  - {callbacks: beforeAddFriend}\n  - {timing: before, ask: none}\n  - {callbacks: beforeAddFriend, ask: none}",
            "etc/hookgate.yaml:4: routes[2]: never taken: all of its webhooks are taken by a route before it",
        ),
    ] {
        assert_eq!(lines(&read(routes).unwrap().warnings), [warning], "{routes}");
    }
}

#[test]
fn the_manuals_examples_are_read() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations/routes.md"));
    let blocks: Vec<_> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let indented = block.replace('\n', "\n    ");
        let yaml = match block.starts_with("when:") {
            true => format!("routes:\n  - callbacks: [beforeSendGroupMsg]\n    {indented}"),
            false => block.to_owned(),
        };
        let ids = ["unmoderated.txt", "groups.txt", "authors.txt"].map(|name| (name, "u1"));
        let loaded = load(&["--config", "h.yaml"], &[&[("h.yaml", &*yaml)], &ids[..]].concat());
        assert!(loaded.as_ref().is_ok_and(|loaded| loaded.warnings.is_empty()), "{loaded:?}\n{yaml}");
    }
}

#[test]
fn a_file_of_ids_has_16_mib_at_most() {
    let check = |name: &str, bytes: usize| {
        let ids = file(&format!("{name}.txt"), "u1\n".repeat(bytes.div_ceil(3)).get(..bytes).unwrap());
        let yaml =
            format!("policy: builtin\nroutes: [{{callbacks: beforeSendSingleMsg, cohort: {ids}, by: send_id}}]\n");
        let yaml = file(&format!("{name}.yaml"), yaml);
        let checked = program::hookgate(&["config", "check", "--config", &yaml]).as_std_mut().output().unwrap();
        (checked.status.success(), String::from_utf8(checked.stderr).unwrap())
    };
    let (is_ok, said) = check("ids-large", 16 << 20);
    assert!(is_ok, "{said}");
    let (is_ok, said) = check("ids-too-large", (16 << 20) + 1);
    assert!(!is_ok && said.contains("routes[0].cohort: cannot read") && said.contains(": more than 16MiB"), "{said}");
}
