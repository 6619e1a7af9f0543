//! The process: options in, exit code out.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use hookgate::Cli;

/// Gives freed memory back to the system within seconds.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Unlike eprintln, this does not panic if standard error is closed.
            let _ = writeln!(io::stderr(), "{error}");
            error.exit_code().into()
        }
    }
}
