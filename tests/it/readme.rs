//! Code and commands in README.md are those of the example and of the manual, which are tested.

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
