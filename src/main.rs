//! The process: options in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use hookgate::Cli;

/// Gives freed memory back to the system within seconds.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
