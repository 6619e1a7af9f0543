//! `hookgate serve`: the main job.

mod greeting;
mod signals;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin::{self, Sources};
use crate::cli::Error;
use crate::config::{Address, Config, InForce, Loaded, Options, PolicyService, PolicyUrl};
use crate::observe::decisions::Decisions;
use crate::observe::logging::{self, FlushedAtEnd, Log};
use crate::observe::traces::Traces;
use crate::outbox::Events;
use crate::policy::{BuiltIn, Channel, Policy, health};
use crate::reload::{self, Reloads, Source};
use crate::server::listener::Listener;
use crate::server::{self, Gate};
use greeting::{Addresses, greet};

/// How long hookgate waits for the policy's first answer before it says that it is ready without one.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// How long the built-in policy may take to end, when nothing of ours is in flight any more.
const BUILTIN_DRAIN: Duration = Duration::from_millis(500);

/// How long the end waits for the last lines of the decision log.
const DECISIONS_DRAIN: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or Ctrl-C.
pub fn run(options: &Options) -> Result<ExitCode, Error> {
    let (source, loaded) = Source::load(options)?;
    let decisions = decisions(&loaded)?;
    let log = logging::init(loaded.config.log.clone())?;
    logging::panic_hook();
    let _flushed = FlushedAtEnd(log.clone());
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let runtime = runtime(loaded.config.threads)?;
    let traces = runtime.block_on(async { traces(&loaded) })?;
    let served = runtime.block_on(serve(loaded.config, source, decisions.clone(), traces, log.clone()));
    // Without waiting for whoever still looks a name up, or for a disk that does not answer.
    runtime.shutdown_background();
    if !decisions.flush(DECISIONS_DRAIN) {
        warn!("the last lines of the decision log are left out: whoever takes them is too slow");
    }
    Ok(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Behind the rest of the log; nobody may read it any more.
            log.say(&format!("{error}\n"));
            error.exit_code().into()
        }
    })
}

/// The decision log, open, or a finding about it.
fn decisions(loaded: &Loaded) -> Result<Decisions, Error> {
    let opened = Decisions::open(&loaded.config.decisions);
    Ok(opened.map_err(|error| loaded.wrong("decisions.to", error.to_string()))?)
}

/// Traces, begun, or a finding about them.
fn traces(loaded: &Loaded) -> Result<Traces, Error> {
    let started = Traces::start(&loaded.config.traces);
    Ok(started.map_err(|error| loaded.wrong("traces.endpoint", error.to_string()))?)
}

/// One thread needs no locks and no wake-ups between cores; several take connections from each other.
fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    // Of no effect on the first kind.
    builder.worker_threads(threads).enable_all().build()
}

async fn serve(config: Config, source: Source, decisions: Decisions, traces: Traces, log: Log) -> Result<(), Error> {
    // The first of them may come while it starts, and would end it.
    let hangups = signal(SignalKind::hangup())?;
    // Each connection is a file; shells and service managers give a thousand where the system allows far more.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%error, "cannot raise the limit of open files");
    }
    let webhooks = bind(&config.listen, "--listen").await?;
    let admin = bind(&config.admin_listen, "--admin-listen").await?;
    let stop = signals::stop(log.clone())?;
    let drained = CancellationToken::new();
    let (policy, builtin) = match &config.policy {
        PolicyService::Url(url) => (url.clone(), None),
        PolicyService::BuiltIn(address) => {
            let builtin = BuiltIn::bind(*address).await;
            let builtin = builtin.map_err(|error| cannot_bind(&Address::Tcp(*address), "--builtin-listen", error))?;
            let url = format!("http://{}", builtin.address()?);
            let served = tokio::spawn(builtin.serve(drained.clone().cancelled_owned()));
            (url.parse::<PolicyUrl>().map_err(io::Error::other)?, Some(served))
        }
    };
    let channel = Channel::connect(policy.clone(), &config.channel, &config.policy_tls);
    let addresses = Addresses {
        webhooks: webhooks.address()?.url(config.tls.is_some()),
        admin: admin.address()?.url(false),
        policy: policy.to_string(),
        builtin: builtin.is_some(),
    };
    let longest_pause = config.after.retry_max;
    let policy = Policy::over(channel.clone(), config.limits.reply).traced(traces.clone());
    let events = events(&policy, &config, decisions.clone())?;
    let (changes, in_force) = InForce::changing(config);
    let interval = in_force.clone();
    let mut health = health::watch(channel.clone(), move || interval.now().channel.health_interval);
    let gate = Gate::with(policy.clone(), events, decisions.clone(), in_force.clone());
    let reloads = Reloads::default();
    reload::subscribe(&in_force, channel.clone(), policy.clone(), decisions.clone(), log.clone());
    tokio::spawn(source.watch(hangups, changes, reloads.clone()));
    // Whatever becomes of the configuration then.
    let (named, mut hangups) = (channel.clone(), signal(SignalKind::hangup())?);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            named.look_up();
        }
    });
    let admin_task = admin::run(
        admin,
        Sources {
            status: gate.status().clone(),
            events: gate.events().clone(),
            policy,
            decisions,
            channel,
            health: health.clone(),
            reloads,
            config: in_force,
            stopping: gate.stopping().clone(),
            traces,
        },
        drained.clone().cancelled_owned(),
    );
    let admin_task = tokio::spawn(admin_task);
    tokio::spawn(resume_events(health.clone(), gate.events().clone(), longest_pause));
    // Webhooks are answered from here on; whoever waits for the line below finds the policy connected.
    let greeting = tokio::spawn(async move {
        let answered = timeout(FIRST_ANSWER, health.wait_for(health::State::is_ready)).await.is_ok();
        greet(&addresses, answered, &log);
    });

    server::run(webhooks, gate, stop).await;
    greeting.abort();
    // The built-in policy answers what was in flight until now, and whoever watches sees it stop.
    drained.cancel();
    admin_task.await.map_err(io::Error::from)?;
    if let Some(served) = builtin {
        // It would wait for a client that holds a connection and says nothing.
        match timeout(BUILTIN_DRAIN, served).await {
            Ok(ended) => ended.map_err(io::Error::from)?.map_err(io::Error::other)?,
            Err(_) => warn!("some connections of the built-in policy did not end in time"),
        }
    }
    info!("stopped");
    Ok(())
}

/// The After events: on disk, if there is to be one.
fn events(policy: &Policy<Channel>, config: &Config, decisions: Decisions) -> Result<Events, Error> {
    match &config.data {
        Some(directory) => Ok(Events::on_disk(policy.clone(), &config.after, decisions, directory)?),
        None => {
            info!("After events are in memory: a crash loses those that are not delivered yet (--data DIR keeps them)");
            Ok(Events::in_memory(policy.clone(), &config.after, decisions))
        }
    }
}

/// Has the events go on when the policy has come back: once in a while, or a policy that dies of an event would be asked
/// about it as fast as it comes back.
async fn resume_events(mut health: watch::Receiver<health::State>, events: Events, pause: Duration) {
    while health.changed().await.is_ok() {
        if health.borrow_and_update().is_ready() && events.resume() {
            sleep(pause).await;
        }
    }
}

async fn bind(address: &Address, option: &str) -> io::Result<Listener> {
    Listener::bind(address).await.map_err(|error| cannot_bind(address, option, error))
}

fn cannot_bind(address: &Address, option: &str, error: io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {why} ({option} takes another address)"))
}
