//! Runs every command of docs/policies/grpcurl.md and compares what it prints.
//!
//! `HOOKGATE_GRPCURL` names the program; without it the case is left out.

use std::path::Path;

use tokio::process::Command;

use crate::cases::Case;
use crate::process::{Example, Language};
use crate::support::program::{EVERYTHING_FREE, Running};

/// Returns the commands of the page, each with its output.
fn commands() -> Vec<(String, String)> {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/grpcurl.md"));
    let mut blocks = page.split("\n```").skip(1).step_by(2);
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
    let commands = commands();
    assert!(commands.len() >= 7 && commands.iter().all(|(command, _)| command.contains("grpcurl -plaintext ")));
    let built_in = Running::start(&EVERYTHING_FREE).await;
    let built_in = built_in.policy.trim_start_matches("http://");
    let example = Example::with(language, &["--word", "spam"]).await;
    for (command, printed) in &commands {
        let here = command.replace("127.0.0.1:50051", built_in).replace("127.0.0.1:50052", &example.address);
        let mut shell = Command::new("sh");
        shell.args(["-c", &here]).env("PATH", &path).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = shell.output().await.unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), printed, "{command}");
    }
    assert_eq!(example.audited().len(), 1, "the event was the same twice");
}
