//! `hookgate serve`: the main job.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Uri};
use tracing::info;

use crate::callback::Callback;
use crate::config;
use crate::policy::{BuiltIn, Policy};
use crate::{server, telemetry};

/// Serves until SIGTERM or Ctrl-C.
pub fn run(options: config::Serve) -> io::Result<()> {
    telemetry::init(options.log.clone());
    // One thread does the job and costs a third less a call than several; a sidecar's load is far below what it carries.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(options))
}

async fn serve(options: config::Serve) -> io::Result<()> {
    let listener = bind(options.listen, "--listen").await?;
    let stop = stop_signal()?;
    let drained = CancellationToken::new();
    let (policy, builtin) = match options.policy {
        Some(url) => (url, None),
        None => {
            let builtin = BuiltIn::bind(options.builtin_listen);
            let builtin =
                builtin.await.map_err(|error| cannot_bind(options.builtin_listen, "--builtin-listen", error))?;
            let url = format!("http://{}", builtin.address()?);
            let served = tokio::spawn(builtin.serve(drained.clone().cancelled_owned()));
            (url.parse::<Uri>().map_err(io::Error::other)?, Some(served))
        }
    };
    let channel = Endpoint::from(policy.clone()).user_agent(concat!("hookgate/", env!("CARGO_PKG_VERSION")));
    let channel = channel.map_err(io::Error::other)?.connect_lazy();
    greet(listener.local_addr()?, &policy, builtin.is_some());

    server::run(listener, Policy::new(channel), stop).await;
    // The built-in policy answers what was in flight until now.
    drained.cancel();
    if let Some(served) = builtin {
        served.await?.map_err(io::Error::other)?;
    }
    info!("stopped");
    Ok(())
}

async fn bind(address: SocketAddr, option: &str) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| cannot_bind(address, option, error))
}

fn cannot_bind(address: SocketAddr, option: &str, error: io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {why} ({option} takes another address)"))
}

/// Ends with the first SIGTERM, which service managers send, or Ctrl-C.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping: finishing what is in flight");
    })
}

/// Says what listens where: to a person at length, then in one fixed line for whoever waits for it.
fn greet(listen: SocketAddr, policy: &Uri, builtin: bool) {
    let callbacks = Callback::all().len();
    let policy = policy.to_string();
    let policy = policy.trim_end_matches('/');
    if io::stderr().is_terminal() {
        eprintln!("hookgate {}: OpenIM webhooks in, gRPC policy out\n", env!("CARGO_PKG_VERSION"));
        eprintln!("  webhooks   http://{listen}/<command>   the url in OpenIM's webhooks.yml: http://{listen}");
        let what = if builtin { "   built in: allows and logs everything" } else { "" };
        eprintln!("  policy     {policy}{what}");
        eprintln!("  callbacks  {callbacks}   listed by: hookgate callbacks\n");
    }
    if builtin {
        tracing::warn!("no --policy: the built-in one allows everything");
    }
    eprintln!("hookgate ready: webhooks http://{listen} policy {policy} callbacks {callbacks}");
}
