//! The README's section on grpcurl: every command there is run, and says what the README says that it does.
//!
//! `HOOKGATE_GRPCURL` says where grpcurl is; without it this is left out.

use std::path::Path;

use tokio::process::Command;

use crate::cases::Case;
use crate::process::{Example, Language};
use crate::support::program::{EVERYTHING_FREE, Running};

/// The commands of the section, each with what it prints.
fn commands() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("\n### grpcurl\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut blocks = section.split("\n```").skip(1).step_by(2);
    let mut commands = Vec::new();
    while let Some(command) = blocks.next() {
        let command = command.strip_prefix("sh\n").unwrap();
        let printed = blocks.next().and_then(|block| block.strip_prefix("text\n")).unwrap();
        commands.push((command.to_owned(), printed.trim_end().to_owned()));
    }
    commands
}

/// The case with its name, as in `cases::ALL`.
pub const CASE: (&str, Case) = ("every_command_of_the_readme_does_what_it_says", |language| Box::pin(run(language)));

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
