//! What a webhook costs with hookgate, and with what one could use instead.

use std::process::ExitCode;

use clap::Parser;

mod body;
mod build;
mod candidates;
mod chart;
mod child;
mod cli;
mod figures;
mod growth;
mod hosts;
mod http;
mod launch;
mod load;
mod machine;
mod measure;
mod pin;
mod plan;
mod plugin;
mod policy;
mod proc;
mod report;
mod samples;
mod table;

/// hookgate's contract, as a user of tonic has it.
mod contract {
    #![allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        dead_code,
        reason = "generated, and more than these two rpcs need"
    )]
    tonic::include_proto!("openim.policy.v1");
}

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
