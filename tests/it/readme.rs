//! README files and the manual: their code and commands are those that are tested, and nothing is left out that readers
//! must know.

use hookgate::contract::Callback;

use crate::support::OPEN;

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
const GRPCURL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/grpcurl.md"));
const EXAMPLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/src/example_policy/policy.py"));

/// Returns the fenced blocks of a Markdown text: language and content of each.
fn blocks(markdown: &str) -> impl Iterator<Item = (&str, &str)> {
    markdown.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

#[test]
fn the_grpcurl_command_is_one_of_the_manuals() {
    let (_, command) = blocks(README).find(|(_, block)| block.starts_with("grpcurl ")).unwrap();
    assert!(blocks(GRPCURL).any(|(_, block)| block == command), "docs/policies/grpcurl.md lacks: {command}");
}

#[test]
fn the_policy_is_the_python_examples() {
    let (_, code) = blocks(README).find(|(language, _)| *language == "python").unwrap();
    for part in code.split("\n\n") {
        assert!(EXAMPLE.contains(part), "the example lacks: {part}");
    }
}

#[test]
fn each_example_says_what_its_word_filter_cannot_see() {
    for language in ["go", "java", "python", "rust", "typescript"] {
        let readme = format!("{}/examples/{language}/README.md", env!("CARGO_MANIFEST_DIR"));
        let readme = std::fs::read_to_string(readme).unwrap();
        assert!(readme.contains("\nIt cannot see a word in a picture"), "{language}");
    }
}

#[test]
fn the_manual_names_the_callbacks_that_fail_open() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations/failures.md"));
    let (_, section) = page.split_once("\n## Callbacks that fail open\n").unwrap();
    for command in OPEN {
        let key = Callback::by_command(command).unwrap().config_key;
        assert!(section.contains(&format!("`{key}`")), "{key}");
    }
}
