//! The process: options in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use hookgate::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code().into()
        }
    }
}
