//! What is printed: it is read back to the same, and says who said what.

use hookgate::config;
use hookgate::error::Class;
use proptest::prelude::*;

use super::{ALL_OF_IT, assert_round_trip, load, load_openim, load_yaml, shipped};

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
