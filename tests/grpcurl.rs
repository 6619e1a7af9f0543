//! Commands and code that README.md and docs/policies/grpcurl.md show.
//!
//! `examples/check` runs every grpcurl command, with the grpcurl that `HOOKGATE_GRPCURL` names, and compares what it prints.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

#[path = "examples/process.rs"]
#[allow(dead_code, reason = "the examples' cases need more of it")]
mod process;
mod support;

use std::path::Path;

use process::{Example, Language};
use support::program::{EVERYTHING_FREE, Running};
use tokio::process::Command;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/grpcurl.md"));
const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
const EXAMPLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/src/example_policy/policy.py"));

/// Returns the fenced blocks of a Markdown text: language and content of each.
fn blocks(markdown: &str) -> impl Iterator<Item = (&str, &str)> {
    markdown.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

/// Returns the commands of the page, each with its output.
fn commands() -> Vec<(String, String)> {
    let mut blocks = blocks(PAGE);
    let mut commands = Vec::new();
    while let (Some(("sh", command)), Some(("text", output))) = (blocks.next(), blocks.next()) {
        commands.push((command.to_owned(), output.trim_end().to_owned()));
    }
    commands
}

#[test]
fn the_readme_calls_a_policy_as_the_page_does() {
    let commands = commands();
    assert!(commands.len() >= 7 && commands.iter().all(|(command, _)| command.contains("grpcurl -plaintext ")));
    let shown = blocks(README).find(|(_, block)| block.starts_with("grpcurl ")).unwrap().1;
    assert!(commands.iter().any(|(command, _)| command == shown), "docs/policies/grpcurl.md lacks: {shown}");
}

#[test]
fn the_policy_in_the_readme_is_the_example() {
    let (_, code) = blocks(README).find(|(language, _)| *language == "python").unwrap();
    for part in code.split("\n\n") {
        assert!(EXAMPLE.contains(part), "the example lacks: {part}");
    }
}

#[tokio::test]
#[ignore = "needs grpcurl and an example: run by examples/check"]
async fn every_command_prints_what_the_page_says() {
    let grpcurl = std::env::var("HOOKGATE_GRPCURL").expect("HOOKGATE_GRPCURL names the program");
    let folder = Path::new(&grpcurl).parent().unwrap().to_str().unwrap().to_owned();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let languages = std::env::var("HOOKGATE_EXAMPLES").unwrap();
    assert!(!languages.trim().is_empty(), "an example is needed");
    let commands = commands();
    let built_in = Running::start(&EVERYTHING_FREE).await;
    let built_in = built_in.policy.trim_start_matches("http://");
    for language in languages.split_whitespace() {
        let example = Example::with(Language::named(language).unwrap(), &["--word", "spam"]).await;
        for (command, expected) in &commands {
            let here = command.replace("127.0.0.1:50051", built_in).replace("127.0.0.1:50052", &example.address);
            let mut shell = Command::new("sh");
            shell.args(["-c", &here]).env("PATH", &path).current_dir(env!("CARGO_MANIFEST_DIR"));
            let output = shell.output().await.unwrap();
            assert!(output.status.success(), "{language}: {command}\n{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), expected, "{language}: {command}");
        }
        assert_eq!(example.audited().len(), 1, "{language}: the event was the same twice");
    }
}
