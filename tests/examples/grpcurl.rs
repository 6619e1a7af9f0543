//! Runs every command of docs/policies/grpcurl.md and compares what it prints.
//!
//! `HOOKGATE_GRPCURL` names the program; without it the case is left out.

use std::path::Path;

use tokio::process::Command;

use crate::cases::Case;
use crate::process::{Example, Language};
use crate::support::program::{EVERYTHING_FREE, Running};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/grpcurl.md"));

/// Returns the commands of a part of the page, each with its output.
fn commands(part: &str) -> Vec<(String, String)> {
    let mut blocks = part.split("\n```").skip(1).step_by(2);
    let mut commands = Vec::new();
    while let Some(command) = blocks.next() {
        let command = command.strip_prefix("sh\n").unwrap();
        let output = blocks.next().and_then(|block| block.strip_prefix("text\n")).unwrap();
        commands.push((command.to_owned(), output.trim_end().to_owned()));
    }
    commands
}

/// The case with its name, as in `cases::ALL`.
pub const CASE: (&str, Case) =
    ("every_grpcurl_command_prints_what_the_manual_says", |language| Box::pin(run(language)));

/// Runs them before an example and the built-in policy.
async fn run(language: &'static Language) {
    let grpcurl = std::env::var("HOOKGATE_GRPCURL").expect("where grpcurl is");
    let folder = Path::new(&grpcurl).parent().unwrap().to_str().unwrap().to_owned();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let (to_built_in, to_example) = PAGE.split_once("\n## An example\n").unwrap();
    let (to_built_in, to_example) = (commands(to_built_in), commands(to_example));
    assert!(to_built_in.len() >= 3 && to_example.len() >= 4);
    let built_in = Running::start(&EVERYTHING_FREE).await;
    let built_in = built_in.policy.trim_start_matches("http://");
    let example = Example::with(language, &["--word", "spam"]).await;
    let to_built_in = to_built_in.iter().map(|command| (built_in, command));
    let to_example = to_example.iter().map(|command| (example.address.as_str(), command));
    for (address, (command, printed)) in to_built_in.chain(to_example) {
        assert!(command.contains("grpcurl -plaintext ") && command.contains("127.0.0.1:50051"), "{command}");
        let here = command.replace("127.0.0.1:50051", address);
        let mut shell = Command::new("sh");
        shell.args(["-c", &here]).env("PATH", &path).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = shell.output().await.unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), printed, "{command}");
    }
    assert_eq!(example.audited().len(), 1, "the event was the same twice");
}
