//! What is measured, and how each is started.

pub mod by_hand;
pub mod envoy;
pub mod gateway;
pub mod hookgate;
pub mod plain;
mod receiver;
pub mod webhook;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::body::Webhook;
use crate::child::{Process, own_command};
use crate::cli::{Name, Options};
use crate::hosts::Named;
use crate::http::{Answer, Connection};
use crate::proc;

/// What a process of this kit says when it listens, before its address.
pub const READY: &str = "ready ";

/// An address where no policy is, for a start that nobody asks anything of.
const NOBODY: &str = "127.0.0.1:9";

/// The webhooks as transcoders want them: `peers/proto/flat.proto`.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/flat.bin"));

/// Something that takes webhooks.
pub struct Candidate {
    pub name: String,
    pub kind: Kind,
    /// As its version tells, for the report.
    pub version: Option<String>,
}

pub enum Kind {
    Hookgate(PathBuf),
    ByHand,
    Plain,
    Envoy(envoy::Envoy),
    Gateway(PathBuf),
}

/// A candidate that has allowed a webhook.
pub struct Running {
    pub process: Process,
    pub address: SocketAddr,
    /// From the start of its program to its first allow.
    pub started_in: Duration,
}

impl Candidate {
    /// Those that are asked for and can be had; who cannot is said.
    pub fn choose(options: &Options) -> Result<Vec<Self>> {
        let mut candidates = Vec::new();
        if options.wants(Name::Hookgate) {
            candidates.extend(hookgate::find(&options.hookgate)?);
        }
        let own = [(Name::ByHand, "by hand", Kind::ByHand), (Name::Plain, "plain receiver", Kind::Plain)];
        for (name, title, kind) in own {
            if options.wants(name) {
                candidates.push(Self { name: title.to_owned(), kind, version: None });
            }
        }
        let others = [(Name::Envoy, envoy::find as fn() -> Result<Self>), (Name::GrpcGateway, gateway::build)];
        for (name, find) in others {
            if options.wants(name) {
                match find() {
                    Ok(found) => candidates.push(found),
                    // Asked for by name it must be there.
                    Err(error) if options.only.contains(&name) => return Err(error),
                    Err(error) => note(&format!("left out: {error:#}")),
                }
            }
        }
        ensure!(!candidates.is_empty(), "nothing is left to measure");
        Ok(candidates)
    }

    /// What is found by its path may be a script that becomes the program, as those of pyenv and pip are. From here on
    /// the program itself is started and looked at: the script has another size, and interpreters take long to start.
    pub async fn see_through_scripts(&mut self) -> Result<()> {
        if matches!(self.kind, Kind::Hookgate(_) | Kind::Envoy(_)) {
            let (process, _) = self.listen(None, None, NOBODY).await?;
            let real = proc::program(process.id());
            if let (Kind::Hookgate(program) | Kind::Envoy(envoy::Envoy { program, .. }), Some(real)) =
                (&mut self.kind, real)
            {
                *program = real;
            }
        }
        Ok(())
    }

    /// Starts it, and waits for the first allow.
    pub async fn start(&self, core: Option<usize>, policy: &str, webhook: &Webhook) -> Result<Running> {
        self.start_in(None, core, policy, webhook).await
    }

    /// The same, where the policy's name is known to it alone.
    pub async fn start_in(
        &self,
        named: Option<&Named>,
        core: Option<usize>,
        policy: &str,
        webhook: &Webhook,
    ) -> Result<Running> {
        let (mut process, address) = self.listen(named, core, policy).await?;
        let request = webhook.request(address, 0);
        loop {
            process.check().await?;
            let late = process.launched.elapsed() > Duration::from_secs(20);
            ensure!(!late, "{} never allowed the {} webhook", self.name, webhook.name);
            if let Ok(mut connection) = Connection::open(address).await
                && let Ok(Answer::Allow) = connection.ask(&request).await
            {
                let started_in = Instant::now() - process.launched;
                return Ok(Running { process, address, started_in });
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts it, and waits until it says where it listens.
    async fn listen(&self, named: Option<&Named>, core: Option<usize>, policy: &str) -> Result<(Process, SocketAddr)> {
        let mut command = self.command(policy)?;
        if let Some(named) = named {
            command = named.around(command);
        }
        let mut process = Process::start(&self.name, core, &command).await?;
        let address = match &self.kind {
            Kind::Hookgate(_) => {
                let (_, rest) = process.line_with("hookgate ready: webhooks http://").await?;
                parse(rest.split_whitespace().next().unwrap_or_default())?
            }
            Kind::Envoy(envoy) => envoy.address(&mut process).await?,
            _ => parse(&process.line_with(READY).await?.1)?,
        };
        Ok((process, address))
    }

    pub fn is_hookgate(&self) -> bool {
        matches!(self.kind, Kind::Hookgate(_))
    }

    /// The size of its program in MiB, where it has one of its own.
    pub fn size(&self) -> Result<Option<f64>> {
        let program = match &self.kind {
            Kind::Hookgate(program) | Kind::Gateway(program) => program,
            Kind::Envoy(envoy) => &envoy.program,
            Kind::ByHand | Kind::Plain => return Ok(None),
        };
        let size = fs::metadata(program).with_context(|| format!("cannot look at {}", program.display()))?.len();
        Ok(Some(size as f64 / f64::from(1 << 20)))
    }

    fn command(&self, policy: &str) -> Result<Vec<OsString>> {
        match &self.kind {
            Kind::Hookgate(program) => Ok(hookgate::command(program, policy)),
            Kind::ByHand => own_command("by-hand", &[policy]),
            Kind::Plain => own_command("plain", &[]),
            Kind::Envoy(envoy) => envoy.command(policy),
            Kind::Gateway(program) => Ok(vec![program.into(), policy.into()]),
        }
    }
}

/// Tells whoever waits what is being done.
fn note(line: &str) {
    eprintln!("{line}");
}

fn parse(address: &str) -> Result<SocketAddr> {
    address.parse().with_context(|| format!("{address:?} is no address"))
}
