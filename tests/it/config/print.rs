//! What is printed: it is read back to the same, and says who said what.

use std::collections::BTreeMap;

use hookgate::config;
use hookgate::config::Class;
use hookgate::contract::Callback;
use proptest::prelude::*;

use super::{ALL_OF_IT, assert_round_trip, load, load_openim, load_yaml, shipped};
use crate::support::{OPEN, file, program};

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

#[test]
fn print_all_lists_every_setting_with_its_source_and_without_a_secret() {
    let passwords = file("print-all-passwords", "user:MARKER");
    let openim =
        file("print-all-webhooks.yml", "url: http://user:MARKER@127.0.0.1:10006\nbeforeAddFriend: {timeout: 9}\n");
    let yaml = format!(
        "policy: unix:/run/policy.sock\naccess: {{passwords: {passwords}}}\nopenim: {{webhooks: {openim}}}\n\
         on_failure: {{unavailable: allow}}\nlimits:\n  body: 2MiB\ncallbacks: {{beforeAddBlack: {{on_failure: allow}}}}\n"
    );
    let yaml = file("print-all.yaml", yaml);
    let args = ["config", "print", "--all", "--config", &yaml, "--listen", "localhost:10006"];
    let output = program::hookgate(&args).as_std_mut().env("HOOKGATE_LOG", "debug,h2=info").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let columns = |line: &str| {
        let mut rest = line.trim();
        let mut cells = Vec::new();
        for _ in 0..2 {
            let (cell, more) = rest.split_once("  ").unwrap_or_else(|| panic!("{line}"));
            cells.push(cell.to_owned());
            rest = more.trim_start();
        }
        cells.push(rest.to_owned());
        cells
    };
    let rows: Vec<_> = printed.lines().map(columns).collect();
    assert_eq!(rows[0], ["SETTING", "FROM", "VALUE"]);
    for expected in [
        ["policy", &format!("{yaml}:1"), "\"unix:///run/policy.sock\""],
        ["listen", "--listen", "\"127.0.0.1:10006\""],
        ["log", "HOOKGATE_LOG", "\"h2=info,debug\""],
        ["log_format", "default", "text"],
        ["limits.body", &format!("{yaml}:6"), "2MiB"],
        ["limits.head", "default", "32KiB"],
        ["data", "default", "-"],
        ["on_failure", &format!("{yaml}:4"), "{default: deny, unavailable: allow}"],
        ["access.passwords", &format!("{yaml}:2"), &format!("\"{passwords}\"")],
        ["openim.webhooks", &format!("{yaml}:3"), &format!("\"{openim}\"")],
        ["callbacks.beforeAddFriend.budget", &format!("{openim}:2"), "8500ms"],
        ["callbacks.beforeAddBlack.on_failure", &format!("{yaml}:7"), "allow"],
    ] {
        assert!(rows.iter().any(|row| row == &expected), "{expected:?}\n{printed}");
    }
    for setting in config::all_settings().iter().filter(|setting| !setting.path.starts_with("on_failure.")) {
        assert_eq!(rows.iter().filter(|row| row[0] == setting.path).count(), 1, "{}\n{printed}", setting.path);
    }
    assert!(!printed.contains("MARKER"), "{printed}");
}

/// Failure rules as somebody says them: for all classes in one word, or some in a map.
fn rules() -> impl Strategy<Value = String> {
    let rule = || prop::sample::select(vec!["allow", "deny"]);
    let names = Class::ALL.map(|class| class.as_str()).into_iter().chain(["default"]).collect::<Vec<_>>();
    let some = prop::collection::btree_map(prop::sample::select(names), rule(), 1..7).prop_map(|rules| {
        let rules: Vec<_> = rules.iter().map(|(name, rule)| format!("{name}: {rule}")).collect();
        format!("{{{}}}", rules.join(", "))
    });
    prop_oneof![rule().prop_map(str::to_owned), some]
}

/// Keys of Before callbacks with rules, most of them of those that fail open.
fn callbacks() -> impl Strategy<Value = BTreeMap<&'static str, String>> {
    let open = OPEN.map(|command| Callback::by_command(command).expect("a command").config_key);
    let keys = [&open[..], &["beforeAddFriend", "beforeMemberJoinGroup", "onlinePush"]].concat();
    prop::collection::btree_map(prop::sample::select(keys), rules(), 0..5).prop_filter("one callback once", |said| {
        !(said.contains_key("onlinePush") && said.contains_key("beforeOnlinePush"))
    })
}

/// The failure rules that a printed configuration has for single callbacks, by config key.
fn printed_rules(printed: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut lines = printed.lines().skip_while(|line| *line != "callbacks:").skip(1).peekable();
    let mut found = BTreeMap::new();
    while let Some(key) = lines.next() {
        let key = key.trim().trim_end_matches(':').to_owned();
        while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
            let line = line.split("  #").next().unwrap_or_default().trim();
            found.insert(key.clone(), of_text(line.strip_prefix("on_failure: ").expect("nothing else is said")));
        }
    }
    found
}

/// Rules by class, `default` among them.
fn of_text(rules: &str) -> BTreeMap<String, String> {
    let Some(list) = rules.strip_prefix('{').and_then(|rules| rules.strip_suffix('}')) else {
        return BTreeMap::from([("default".to_owned(), rules.to_owned())]);
    };
    let pairs = list.split(", ").map(|pair| pair.split_once(": ").expect("a pair"));
    pairs.map(|(class, rule)| (class.to_owned(), rule.to_owned())).collect()
}

#[test]
fn of_an_empty_file_nothing_is_said_of_single_callbacks() {
    let loaded = load_yaml("").unwrap();
    let printed = config::print(&loaded);
    assert!(!printed.contains("callbacks:"), "{printed}");
    let again = load_yaml(&printed).unwrap();
    assert_eq!((&again.config, config::print(&again).contains("callbacks:")), (&loaded.config, false));
    assert!(again.warnings.is_empty(), "{:?}", again.warnings);
    // What is in force without a word is told where it is looked for.
    let words = printed.lines().take_while(|line| !line.starts_with("on_failure: ")).last().unwrap();
    for command in OPEN {
        assert!(words.contains(Callback::by_command(command).unwrap().config_key), "{command}: {words}");
    }
}

proptest! {
    #[test]
    fn failure_rules_are_printed_as_they_were_said(general in prop::option::of(rules()), callbacks in callbacks()) {
        let mut yaml = general.map(|rules| format!("on_failure: {rules}\n")).unwrap_or_default();
        if !callbacks.is_empty() {
            yaml += "callbacks:\n";
        }
        for (key, rules) in &callbacks {
            yaml += &format!("  {key}:\n    on_failure: {rules}\n");
        }
        let loaded = load_yaml(&yaml).unwrap();
        let printed = config::print(&loaded);
        let named = |key: &str| if key == "onlinePush" { "beforeOnlinePush".to_owned() } else { key.to_owned() };
        let said: BTreeMap<_, _> = callbacks.iter().map(|(key, rules)| (named(key), of_text(rules))).collect();
        prop_assert_eq!(printed_rules(&printed), said, "{}\n{}", yaml, printed);
        let again = load_yaml(&printed).unwrap();
        prop_assert_eq!(&again.config, &loaded.config, "{}", printed);
        for callback in Callback::all() {
            prop_assert_eq!(again.config.handling(callback), loaded.config.handling(callback));
        }
        prop_assert_eq!(again.warnings.len(), loaded.warnings.len());
        let values = |printed: String| {
            printed.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        prop_assert_eq!(values(config::print(&again)), values(printed));
    }

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
