//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::candidates::{by_hand, plain};
use crate::{launch, plan, policy};

/// How the run is made whose figures are kept.
const ROUNDS: u16 = 5;
const WINDOW: Duration = Duration::from_secs(3);
const CONNECTIONS: u16 = 32;
const RATE: u32 = 1000;

/// Fewer rounds have no middle worth keeping.
const FEWEST_ROUNDS: u16 = 3;

/// Measures what a webhook costs with hookgate, and with what one could use instead.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: Options,
}

/// How to measure.
#[derive(Args)]
pub struct Options {
    /// A minute and a half of measuring, and no files written
    #[arg(long)]
    pub quick: bool,
    /// How the costs grow with connections and with addresses of the policy, instead of the table
    #[arg(long)]
    pub growth: bool,
    /// Another binary of hookgate than the one built from this repository; several are compared
    #[arg(long, value_name = "[NAME=]PATH")]
    pub hookgate: Vec<String>,
    /// These candidates alone
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub only: Vec<Name>,
    /// All candidates but these
    #[arg(long, value_name = "NAME", num_args = 1.., conflicts_with = "only")]
    pub without: Vec<Name>,
    /// These bodies alone
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = ["small", "message", "64KiB"])]
    pub bodies: Vec<String>,
    /// Rounds; each measures every candidate once with every body [default: 5; quick: 2]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub rounds: Option<u16>,
    /// Seconds of each loop [default: 3; quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub seconds: Option<u16>,
    /// Connections of the closed loop
    #[arg(long, default_value_t = CONNECTIONS, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,
    /// Calls a second of the open loop
    #[arg(long, default_value_t = RATE, value_parser = clap::value_parser!(u32).range(10..=20_000))]
    pub rate: u32,
    /// Let every process use every core
    #[arg(long)]
    pub no_pin: bool,
    /// Keep every sample in this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// hookgate as people run it
    Hookgate,
    /// A handler of axum, serde_json and tonic
    ByHand,
    /// A receiver that asks no policy
    Plain,
    /// Envoy's gRPC-JSON transcoder
    Envoy,
    /// grpc-gateway, a proxy made of Go code
    GrpcGateway,
}

/// What the program is when it measures itself: the processes beside the one that was started.
#[derive(Subcommand)]
enum Role {
    /// Becomes another program, on one core, that ends with whoever started it
    #[command(hide = true)]
    Launch(launch::Launch),
    /// A policy that allows everything
    #[command(hide = true)]
    Policy {
        #[arg(long, default_value_t = 1)]
        addresses: u8,
    },
    /// A handler of axum, serde_json and tonic
    #[command(hide = true)]
    ByHand { policy: SocketAddr },
    /// A receiver that asks no policy
    #[command(hide = true)]
    Plain,
}

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<()> {
    match cli.role {
        Some(Role::Launch(launch)) => launch.run(),
        Some(Role::Policy { addresses }) => block_on(policy::run(addresses)),
        Some(Role::ByHand { policy }) => block_on(by_hand::run(policy)),
        Some(Role::Plain) => block_on(plain::run()),
        None => block_on(plan::run(cli.options)),
    }
}

/// Everything here has one thread.
fn block_on(main: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(main)
}

impl Options {
    /// Whether this is the run whose figures are kept: all of it, as it is by default but for the number of rounds.
    pub fn is_the_whole(&self) -> bool {
        !self.quick
            && !self.growth
            && self.hookgate.is_empty()
            && self.only.is_empty()
            && self.without.is_empty()
            && self.bodies.is_empty()
            && self.rounds() >= FEWEST_ROUNDS
            && self.window() == WINDOW
            && self.connections == CONNECTIONS
            && self.rate == RATE
            && !self.no_pin
    }

    /// What makes such a run again.
    pub fn command(&self) -> String {
        let rounds = self.rounds();
        let options = if rounds == ROUNDS { String::new() } else { format!(" -- --rounds {rounds}") };
        format!("cargo run --release --manifest-path bench/Cargo.toml{options}")
    }

    pub fn rounds(&self) -> u16 {
        self.rounds.unwrap_or(if self.quick { 2 } else { ROUNDS })
    }

    pub fn window(&self) -> Duration {
        let default = if self.quick { Duration::from_secs(1) } else { WINDOW };
        self.seconds.map_or(default, |seconds| Duration::from_secs(seconds.into()))
    }

    pub fn wants(&self, name: Name) -> bool {
        !self.without.contains(&name) && (self.only.is_empty() || self.only.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Options {
        Cli::try_parse_from(["bench"].into_iter().chain(line.split_whitespace())).unwrap().options
    }

    #[test]
    fn figures_are_kept_of_runs_alike() {
        for line in ["", "--rounds 3", "--rounds 50 --seconds 3 --connections 32 --rate 1000 --json samples.json"] {
            assert!(options(line).is_the_whole(), "{line}");
        }
        let others = ["--quick", "--growth", "--hookgate a", "--only envoy", "--without envoy", "--bodies small"];
        let loads = ["--rounds 2", "--seconds 1", "--connections 64", "--rate 500", "--no-pin"];
        for line in others.into_iter().chain(loads) {
            assert!(!options(line).is_the_whole(), "{line}");
        }
    }

    #[test]
    fn the_command_has_what_differs() {
        assert!(options("--rounds 5").command().ends_with("bench/Cargo.toml"));
        assert!(options("--rounds 3").command().ends_with("bench/Cargo.toml -- --rounds 3"));
    }
}
