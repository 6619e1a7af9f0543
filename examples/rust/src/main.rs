//! An example policy service for hookgate: the command line, and the server around the policy.

mod audit;
mod content;
mod lookup;
mod policy;
mod text;

#[cfg(test)]
mod tests;

mod proto {
    //! What `build.rs` made of the contract.
    #![allow(clippy::all, clippy::pedantic, dead_code, reason = "generated, and the policy does not need all of it")]
    tonic::include_proto!("openim.policy.v1");
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

use std::any::Any;
use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, builder::NonEmptyStringValueParser};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::server::{Server, TcpIncoming};
use tonic_health::ServingStatus;
use tower_http::catch_panic::CatchPanicLayer;

use audit::Audit;
use lookup::Lookup;
use policy::Policy;
use proto::group_policy_service_server::{self as group, GroupPolicyServiceServer};
use proto::message_policy_service_server::{self as message, MessagePolicyServiceServer};
use proto::relation_policy_service_server::{self as relation, RelationPolicyServiceServer};
use text::Words;

/// What is served, for health and reflection.
const SERVICES: [&str; 3] = [group::SERVICE_NAME, message::SERVICE_NAME, relation::SERVICE_NAME];

/// Messages can be long; tonic's own limit is 4 MiB.
const LARGEST_REQUEST: usize = 16 << 20;

/// The time that calls have to finish once the process is told to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Clients look the name up again when a connection ends, and so find the replicas that were added since.
const LONGEST_CONNECTION: Duration = Duration::from_secs(5 * 60);

/// An example policy service for hookgate
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:50051", value_parser = host_and_port)]
    listen: String,
    /// Block messages that hold this word; may be given again
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    word: Vec<String>,
    /// A file of blocked words, one a line; lines that begin with # are comments
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,
    /// The time that looking words up takes, as in a service elsewhere
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
    /// Where to append the audit; standard output if not given
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).init();
    match start(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> anyhow::Result<()> {
    let words = read_words(options)?;
    let words = Lookup::new(words, Duration::from_millis(options.delay_ms));
    let policy = Policy::new(words, open_audit(options)?);
    let runtime = Runtime::new().context("cannot start the runtime")?;
    let served = runtime.block_on(serve(&options.listen, policy));
    // A write that hangs, to a pipe that nobody reads, must not keep the process.
    runtime.shutdown_background();
    served
}

fn read_words(options: &Options) -> anyhow::Result<Words> {
    let mut words = Words::default();
    options.word.iter().for_each(|word| words.add(word));
    if let Some(file) = &options.words {
        let lines = fs::read_to_string(file).with_context(|| format!("cannot read the words in {}", file.display()))?;
        words.add_lines(&lines);
    }
    Ok(words)
}

fn open_audit(options: &Options) -> anyhow::Result<Audit> {
    let Some(file) = &options.audit else { return Ok(Audit::new(io::stdout())) };
    let opened = File::options().create(true).append(true).open(file);
    Ok(Audit::new(opened.with_context(|| format!("cannot open the audit {}", file.display()))?))
}

/// Serves the policy until the process is told to stop.
async fn serve(listen: &str, policy: Policy) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let (health, health_server) = tonic_health::server::health_reporter();
    let report = async |status| {
        // The empty name is the whole server.
        for service in SERVICES.iter().chain(&[""]) {
            health.set_service_status(service, status).await;
        }
    };
    report(ServingStatus::Serving).await;

    let mut reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    // The descriptors know more services than are served here.
    for service in SERVICES.iter().chain(&["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]) {
        reflection = reflection.with_service_name(*service);
    }

    let blocks_nothing = policy.blocks_nothing();
    let (stop, stopping) = oneshot::channel::<()>();
    let server = Server::builder()
        .max_connection_age(LONGEST_CONNECTION)
        .layer(CatchPanicLayer::custom(answer_panic))
        .add_routes(policy_services(policy))
        .add_service(health_server)
        .add_service(reflection.build_v1()?)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async {
            let _ = stopping.await;
        });
    let mut server = tokio::spawn(server);
    if blocks_nothing {
        eprintln!("no --word and no --words: no message is blocked");
    }
    eprintln!("listening on {address}");

    tokio::select! {
        ended = &mut server => return ended?.context("the server failed"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    report(ServingStatus::NotServing).await;
    // From here on nothing new is accepted, and what is in flight is finished.
    drop(stop);
    match timeout(STOP_WITHIN, server).await {
        Ok(ended) => ended?.context("the server failed"),
        Err(_) => {
            tracing::warn!(seconds = STOP_WITHIN.as_secs(), "calls left unfinished");
            Ok(())
        }
    }
}

/// Returns the services of the policy.
fn policy_services(policy: Policy) -> Routes {
    let policy = Arc::new(policy);
    Routes::new(GroupPolicyServiceServer::from_arc(Arc::clone(&policy)).max_decoding_message_size(LARGEST_REQUEST))
        .add_service(
            MessagePolicyServiceServer::from_arc(Arc::clone(&policy)).max_decoding_message_size(LARGEST_REQUEST),
        )
        .add_service(RelationPolicyServiceServer::from_arc(policy).max_decoding_message_size(LARGEST_REQUEST))
}

/// A panic is that call's failure alone. What it was about stands on standard error already.
fn answer_panic(_: Box<dyn Any + Send>) -> tonic::codegen::http::Response<tonic::body::Body> {
    Status::internal("the policy failed").into_http()
}

fn host_and_port(value: &str) -> Result<String, String> {
    let port = value.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(|_| value.to_owned()).ok_or_else(|| "give a host and a port, as in 127.0.0.1:50051".to_owned())
}
