//! What the program tells people about itself: help, version, callbacks, what to try first.

use std::path::Path;
use std::process::Output;

use clap::CommandFactory;
use hookgate::Cli;
use hookgate::contract::{Callback, Timing};
use hookgate::internals::Check;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::program::{EVERYTHING_FREE, Running, hookgate};

#[path = "../../build/commit.rs"]
mod commit;

/// The output of hookgate for a terminal of this width.
async fn shown(width: usize, args: &[&str]) -> String {
    let output = hookgate(args).env("COLUMNS", width.to_string()).output().await.unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn longest_line(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or_default()
}

/// Every command, with the words that lead to it.
fn commands(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, clap::Command)> {
    let mut all = vec![(words.to_vec(), command.clone())];
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        all.extend(commands(command, &[words, &[command.get_name().to_owned()]].concat()));
    }
    all
}

#[tokio::test]
async fn help_fits_a_terminal_and_its_examples_are_commands() {
    let mut root = Cli::command();
    root.build();
    for (words, command) in commands(&root, &[]) {
        let args: Vec<_> = words.iter().map(String::as_str).chain(["--help"]).collect();
        for width in [80, 120] {
            let help = shown(width, &args).await;
            assert!(longest_line(&help) <= width.min(100), "{args:?} at {width}:\n{help}");
        }
        let of_its_own =
            command.get_arguments().any(|argument| !argument.is_global_set() && argument.get_id() != "help");
        let Some(more) = command.get_after_help() else {
            assert!(!of_its_own, "{args:?} has no example");
            continue;
        };
        let more = more.to_string();
        let examples: Vec<_> = more.lines().filter_map(|line| line.strip_prefix("  hookgate")).collect();
        assert!(!examples.is_empty() && more.starts_with("Examples:\n"), "{args:?}: {more}");
        for example in examples {
            let arguments = example.split('>').next().unwrap_or_default().split_whitespace();
            let parsed = Cli::command().try_get_matches_from(["hookgate"].into_iter().chain(arguments));
            let is_help = |error: &clap::Error| error.kind() == clap::error::ErrorKind::DisplayHelp;
            assert!(parsed.as_ref().err().is_none_or(is_help), "{example}: {parsed:?}");
            assert!(example.trim_start().starts_with(&words.join(" ")), "{args:?}: {example}");
        }
    }
}

#[tokio::test]
async fn the_checks_of_verify_have_a_line_each() {
    let help = shown(80, &["verify", "--help"]).await;
    for Check { name, purpose, .. } in Check::all() {
        let line = format!("  {name:<16}{purpose}");
        assert!(help.lines().any(|found| found == line), "{line:?}\n{help}");
    }
}

#[tokio::test]
async fn the_version_names_the_releases_of_openim_and_is_short_on_request() {
    let first = concat!("hookgate ", env!("CARGO_PKG_VERSION"));
    assert_eq!(shown(80, &["-V"]).await, format!("{first}\n"));
    let long = shown(80, &["--version"]).await;
    // A development build has no commit, unless it was given one.
    let commit = option_env!("HOOKGATE_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!(" (commit {commit})")).unwrap_or_default();
    assert_eq!(long, format!("{first}{commit}\nOpenIM releases: 3.5, 3.7, 3.8, 3.8.3, 3.8.4\n"));
    let known = long.lines().last().unwrap();
    for release in Callback::all().iter().flat_map(|callback| callback.releases) {
        assert!(known.contains(release), "{release}");
    }
}

#[test]
fn the_commit_is_that_of_the_clone_whose_root_the_sources_are() {
    let clone = Path::new(env!("CARGO_TARGET_TMPDIR")).join("commit-clone");
    let _ = std::fs::remove_dir_all(&clone);
    let inner = clone.join("vendor");
    std::fs::create_dir_all(&inner).unwrap();
    // What surrounds the tests is a clone perhaps, and its commit is not that of this folder.
    assert_eq!(commit::of_clone(&clone), None);
    let git = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        let who = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        let output: Output = git.arg("-C").arg(&clone).args(who).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    assert_eq!(commit::of_clone(&clone), None, "no commit yet");
    git(&["commit", "--quiet", "--allow-empty", "--message=one", "--date=2026-01-31T12:00:00Z"]);
    let one = commit::of_clone(&clone).unwrap();
    let (hash, date) = one.split_once(", ").unwrap();
    assert!(git(&["rev-parse", "HEAD"]).starts_with(hash) && hash.len() >= 7 && date.len() == 10, "{one}");
    assert_eq!(commit::of_clone(&inner), None);
    // The file by which a build notices the next commit.
    let watched = commit::changes_with(&clone).unwrap();
    let before = std::fs::read(&watched).unwrap();
    git(&["commit", "--quiet", "--allow-empty", "--message=two"]);
    assert!(commit::of_clone(&clone).unwrap() != one && std::fs::read(&watched).unwrap() != before);
}

#[tokio::test]
async fn callbacks_are_listed_for_people_and_for_programs() {
    let rows: Vec<Value> = serde_json::from_str(&shown(80, &["callbacks", "--json"]).await).unwrap();
    assert_eq!(rows.len(), 53);
    let row = rows.iter().find(|row| row["config_key"] == "beforeSetFriendRemark").unwrap();
    let expected = json!({
        "command": "callbackBeforeSetFriendRemarkCommand",
        "older_commands": ["callbackBeforeSetFriendRemark"],
        "config_key": "beforeSetFriendRemark",
        "timing": "before",
        "releases": ["3.5", "3.7", "3.8", "3.8.3", "3.8.4"],
        "rpc": "/openim.policy.v1.RelationPolicyService/BeforeSetFriendRemark",
        "changes": ["remark"],
        "ordered_by": [],
        "order_domain": null,
    });
    assert_eq!(*row, expected);
    for (key, ordered_by, domain) in [
        ("afterQuitGroup", json!([["group_id"]]), json!("membership")),
        ("afterMsgSaveDB", json!([["group_id"], ["send_id", "recv_id"]]), json!(null)),
        ("afterUserRegister", json!([]), json!(null)),
    ] {
        let row = rows.iter().find(|row| row["config_key"] == key).unwrap();
        assert_eq!((&row["ordered_by"], &row["order_domain"]), (&ordered_by, &domain), "{key}");
    }
    for (key, order) in [
        ("afterUserOnline", "\norder        by user_id, in one order (presence) with afterUserOffline\n"),
        ("afterMsgSaveDB", "\norder        by group_id, else send_id and recv_id\n"),
        ("afterUserRegister", "\norder        none\n"),
    ] {
        let page = shown(80, &["callbacks", key]).await;
        assert!(page.contains(order), "{page}");
    }
    assert!(!shown(80, &["callbacks", "beforeSetFriendRemark"]).await.contains("\norder "));

    let narrow = shown(50, &["callbacks", "FriendRemark"]).await;
    assert!(narrow.contains(" remark\n") && !narrow.contains("1 fields"), "{narrow}");
    let narrow = shown(40, &["callbacks", "MemberJoinGroup"]).await;
    assert!(narrow.contains("1 field\n") && narrow.contains("5 fields\n"), "{narrow}");

    let all = output(&mut hookgate(&["callbacks"])).await;
    for (width, columns) in [
        (Some(80), "KEY TIMING CHANGES"),
        (Some(120), "KEY TIMING COMMAND CHANGES"),
        (Some(200), "KEY TIMING COMMAND RPC CHANGES"),
        (None, "KEY TIMING COMMAND RPC CHANGES"),
    ] {
        let table = match width {
            Some(width) => shown(width, &["callbacks"]).await,
            None => all.clone(),
        };
        assert!(width.is_none_or(|width| longest_line(&table) <= width), "{table}");
        let head = table.lines().next().unwrap();
        assert_eq!(head.split_whitespace().collect::<Vec<_>>().join(" "), columns);
        assert_eq!(table.lines().count(), 54);
        for callback in Callback::all() {
            let cells =
                [callback.config_key, callback.timing.as_str(), callback.command, callback.service_and_method()];
            let cells = &cells[..columns.split(' ').count() - 1];
            // Two callbacks have one key.
            let has_none = callback.changes().next().is_none();
            let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let its = lines.find(|words| words.starts_with(cells) && (words.last() == Some(&"-")) == has_none);
            assert!(its.is_some(), "{cells:?}\n{table}");
        }
    }
}

async fn output(command: &mut Command) -> String {
    String::from_utf8(command.output().await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn callbacks_are_found_by_a_part_of_a_name_and_by_timing() {
    let keys = |table: String| -> Vec<String> {
        table.lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    for (args, expected) in [
        (&["Black"] as &[&str], &["beforeAddBlack", "afterRemoveBlack"] as &[&str]),
        (&["black", "--timing", "before"], &["beforeAddBlack"]),
        (&["RevokeMsg"], &["afterRevokeMsg"]),
    ] {
        let mut found = keys(shown(100, &[&["callbacks"], args].concat()).await);
        let mut expected: Vec<_> = expected.iter().map(|key| (*key).to_owned()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{args:?}");
    }
    let of_service = keys(shown(100, &["callbacks", "RelationPolicyService"]).await);
    let relation = Callback::all().iter().filter(|callback| callback.rpc.contains(".RelationPolicyService/"));
    assert_eq!(of_service, relation.map(|callback| callback.config_key).collect::<Vec<_>>());
    let before = keys(shown(100, &["callbacks", "--timing", "before"]).await);
    assert_eq!(before.len(), Callback::all().iter().filter(|callback| callback.timing == Timing::Before).count());
    let one: Vec<Value> = serde_json::from_str(&shown(100, &["callbacks", "beforeAddBlack", "--json"]).await).unwrap();
    assert_eq!((one.len(), &one[0]["config_key"]), (1, &json!("beforeAddBlack")));

    for (args, expected) in [
        (
            &["beforeAddBlak"] as &[&str],
            "hookgate: no callback is named \"beforeAddBlak\"; did you mean beforeAddBlack? (hookgate callbacks lists them)\n",
        ),
        (&["beforeAddBlack", "--timing", "after"], "hookgate: --timing: beforeAddBlack is sent before its operation\n"),
    ] {
        let output = hookgate(&[&["callbacks"], args].concat()).output().await.unwrap();
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(2), expected), "{args:?}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn one_callback_is_shown_in_full_by_any_of_its_names() {
    for callback in Callback::all() {
        let text = shown(80, &["callbacks", callback.config_key]).await;
        assert!(longest_line(&text) <= 80, "{text}");
        let fields =
            callback.request.fields.iter().chain(callback.response.fields.iter().skip(1)).map(|field| field.json);
        let facts = [callback.command, callback.config_key, callback.service_and_method(), callback.request.name];
        for fact in facts.into_iter().chain(fields).chain(callback.releases.iter().copied()) {
            assert!(text.contains(fact), "{fact}:\n{text}");
        }
        let lines: Vec<_> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with("  ") && !pair[0].starts_with("   ")) {
            assert!(pair[1].starts_with("      ") && pair[1].len() > 9, "each has its meaning: {pair:?}");
        }
    }
    // Two callbacks have one key.
    let both = shown(80, &["callbacks", "beforeMemberJoinGroup"]).await;
    assert_eq!(both.matches("\n\nbeforeMemberJoinGroup\n\n").count(), 1, "{both}");
    let key = shown(80, &["callbacks", "beforeSetFriendRemark"]).await;
    for name in
        ["callbackBeforeSetFriendRemark", "BeforeSetFriendRemark", "RelationPolicyService/BeforeSetFriendRemark"]
    {
        assert_eq!(shown(80, &["callbacks", name]).await, key);
    }
    for (name, expected) in [
        ("beforeSetFriendRemark", "on failure   deny, unless on_failure says otherwise"),
        ("beforeOfflinePush", "on failure   allow, unless callbacks.beforeOfflinePush.on_failure says otherwise"),
        ("afterRemoveBlack", "on failure   delivered again until the policy answers"),
        ("beforeSendSingleMsg", "Response BeforeSendSingleMsgResponse: a denial, and no changes"),
        ("beforeUserRegister", "  users[].user_id (userID): string"),
        ("beforeUserRegister", "  users.users[].user_id (userID): string"),
        ("beforeSendSingleMsg", "  message.send_id (sendID): string"),
    ] {
        let text = shown(100, &["callbacks", name]).await;
        assert!(text.lines().any(|line| line.starts_with(expected)), "{expected}\n{text}");
    }
}

#[tokio::test]
async fn with_the_built_in_policy_it_says_what_to_try() {
    let mut hookgate = Running::start(&EVERYTHING_FREE).await;
    let line = hookgate.says("try it in another terminal: ").await;
    let (_, command) = line.split_once(": ").unwrap();
    let mut shell = Command::new("sh");
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("try-it");
    shell.args(["-c", command]).env("HOME", &cache).env("XDG_CACHE_HOME", &cache);
    let tried = shell.output().await.unwrap();
    assert!(tried.status.success(), "{command}: {}", String::from_utf8_lossy(&tried.stderr));
    assert!(String::from_utf8_lossy(&tried.stdout).contains("allow"), "{}", String::from_utf8_lossy(&tried.stdout));
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    assert!(said.contains("built-in policy: allow"), "{said}");
}

#[tokio::test]
async fn callbacks_are_shown_with_the_policies_that_are_asked() {
    let yaml = "policies: {words: {url: 'http://127.0.0.1:1'}, friends: {url: 'http://127.0.0.1:2'}}\n\
                routes:\n\
                - {name: notices, callbacks: [beforeSendSingleMsg], when: {content_type: 1000..5000}, ask: none}\n\
                - {callbacks: [beforeSendSingleMsg], policies: [words, friends], ask: chain}\n\
                - {name: few, callbacks: [beforeAddFriend], by: from_user_id, percent: 5, policies: [friends]}\n\
                - {callbacks: [beforeAddBlack, beforeAddFriend], ask: none}\n\
                - {callbacks: [beforeApplyJoinGroup], policies: [friends, words], ask: all}\n\
                - {callbacks: 'after*', policies: [words, friends]}\n\
                - {callbacks: [callbackBeforeMembersJoinGroupCommand], policies: friends}\n\
                - {policies: words}\n";
    let file = crate::support::file("callbacks-asked.yaml", yaml);
    let with = ["--config", &*file];
    let table = output(&mut hookgate(&[&["callbacks"], &with[..]].concat())).await;
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!((lines.len(), &*lines[0]), (54, "KEY TIMING ASKED"), "{table}");
    for expected in [
        "beforeSendSingleMsg before nobody (ask: none) if route \"notices\" matches; else words, friends (chain)",
        "beforeAddFriend before friends if route \"few\" matches; else nobody (ask: none)",
        "beforeAddBlack before nobody (ask: none)",
        "beforeApplyJoinGroup before friends, words (all)",
        "afterSendSingleMsg after words, friends",
        "beforeSendGroupMsg before words",
        "beforeMemberJoinGroup (callbackBeforeMembersJoinGroupCommand) before friends",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}\n{table}");
    }
    let page = shown(80, &[&["callbacks", "beforeApplyJoinGroup"], &with[..]].concat()).await;
    assert!(page.contains("\nasked        friends, words (all)\n"), "{page}");
    let rows = shown(80, &[&["callbacks", "beforeSendSingleMsg", "--json"], &with[..]].concat()).await;
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let expected = json!([
        {"policies": [], "ask": "none", "route": "notices", "conditional": true},
        {"policies": ["words", "friends"], "ask": "chain", "route": "routes[1]", "conditional": false},
    ]);
    assert_eq!(rows[0]["asked"], expected);

    // One policy: what no route takes goes to it. The variables count too.
    let yaml = "routes: [{name: notices, callbacks: [beforeSendSingleMsg], when: {content_type: 1..9}, ask: none}]\n";
    let file = crate::support::file("callbacks-asked-one.yaml", yaml);
    let mut command = hookgate(&["callbacks", "--config", &file]);
    let table = output(command.env("HOOKGATE_POLICY", "http://127.0.0.1:1")).await;
    let asked = "nobody (ask: none) if route \"notices\" matches; else policy";
    assert!(table.contains(asked) && table.lines().filter(|line| line.ends_with("  policy")).count() == 52, "{table}");
    let output = hookgate(&["callbacks", "--config", &file]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.contains("policy: not there")), (Some(2), true), "{said}");
    // Which variable is set changes nothing without the option.
    let set = self::output(hookgate(&["callbacks"]).env("HOOKGATE_CONFIG", &file)).await;
    assert_eq!(set, self::output(&mut hookgate(&["callbacks"])).await);
}
