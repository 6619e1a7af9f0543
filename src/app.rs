//! The application that `hookgate serve` and the tests run: built from a configuration.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin::{self, PolicySources, Sources};
use crate::config::{Address, Config, ConfigHandle, NamedPolicy, PolicyUrl};
use crate::observe::decisions::Decisions;
use crate::observe::logging::Log;
use crate::observe::traces::Traces;
use crate::outbox::{self, Events, OpenError, StartError};
use crate::policy::{Channel, Policy, builtin, health};
use crate::reload::{self, Reloads, Source};
pub use crate::server::Stop;
use crate::server::inherited::Inherited;
use crate::server::listener::Listener;
use crate::server::{self, Guards, PolicyState, ServerState};

/// Maximum time that the built-in policy has to end, when no call is in flight any more.
const BUILTIN_DRAIN: Duration = Duration::from_millis(500);

/// Pause between two attempts to open an outbox that another process uses.
const IN_USE_PAUSE: Duration = Duration::from_millis(50);

/// hookgate, with its listeners bound.
#[derive(Debug)]
pub struct App {
    webhooks: Arc<ServerState<Channel>>,
    listener: Listener,
    admin_listener: Listener,
    sources: Sources,
    builtin: Option<Served>,
    /// Cancelled when no webhook and no event is in flight any more.
    drained: CancellationToken,
}

/// A failure to start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The outbox cannot be opened.
    #[error(transparent)]
    Outbox(#[from] StartError),
    /// A setting, named by the path of its key, cannot be followed on this machine.
    #[error("{0}: {1}")]
    Setting(&'static str, String),
}

impl App {
    /// Binds the listeners, opens what is on disk, and begins to connect to the policy. Must be called within a Tokio runtime.
    pub async fn build(config: impl Into<ConfigHandle>) -> Result<Self, Error> {
        let in_force = config.into();
        let config = in_force.now();
        let decisions = Decisions::default();
        decisions.change(&config.decisions).map_err(|error| Error::Setting("decisions.to", error.to_string()))?;
        let traces = Traces::start(&config.traces);
        let traces = traces.map_err(|error| Error::Setting("traces.endpoint", error.to_string()))?;
        let mut inherited = Inherited::from_env()?;
        let replaces_another = !inherited.is_empty();
        let listener = bind(&config.listen, "--listen", &mut inherited).await?;
        let admin_listener = bind(&config.admin_listen, "--admin-listen", &mut inherited).await?;
        if let Some(address) = inherited.left_over() {
            let own = format!("neither listen ({}) nor admin_listen ({})", config.listen, config.admin_listen);
            return Err(Error::Setting("listen", format!("LISTEN_FDS has a socket on {address}, which is {own}")));
        }
        let drained = CancellationToken::new();
        let (builtin_url, builtin) = match config.asks_builtin() {
            true => {
                let (url, served) = serve_builtin(config.builtin_listen, drained.clone()).await?;
                (Some(url), Some(served))
            }
            false => (None, None),
        };
        if config.data.is_none() && config.after.store.is_empty() {
            info!("After events are in memory: a crash loses those that are not delivered yet (--data DIR keeps them)");
        }
        warn_of_outboxes_of_no_policy(&config);
        // The process before this one may have its last calls in flight.
        let leaving = config.drain.delay + config.drain.time + outbox::CLOSING;
        let patience = if replaces_another { leaving } else { Duration::ZERO };
        let named = config.policies();
        let mut clients = Vec::new();
        for named in named.iter() {
            let Some(url) = named.url.clone().or_else(|| builtin_url.clone()) else { continue };
            let channel = Channel::connect(url, &named.channel, &named.tls);
            let mut policy = Policy::over(channel.clone(), named.reply).traced(traces.clone());
            if !config.policies.is_empty() {
                policy = policy.named(named.name.clone());
            }
            policy.set_metadata(named.metadata.clone());
            clients.push((named, channel, policy));
        }
        // At once: a cluster that is away is waited for.
        let opened = clients.iter().map(|(named, _, policy)| {
            let decisions = match config.policies.is_empty() {
                true => decisions.clone(),
                false => decisions.of_policy(named.name.clone()),
            };
            events(policy, named, &config, decisions, patience)
        });
        let opened = try_join_all(opened).await?;
        let mut policies = Vec::new();
        for (index, ((named, channel, policy), events)) in clients.into_iter().zip(opened).enumerate() {
            let interval = in_force.clone();
            let own = named.channel.health_interval;
            let every = move || interval.now().policies().get(index).map_or(own, |named| named.channel.health_interval);
            let health = health::watch(channel.clone(), every);
            let (name, counters) = (named.name.clone(), Arc::default());
            policies.push(PolicySources { name, policy, channel, health, events, counters });
        }
        let asked =
            policies.iter().map(|of| PolicyState::new(of.policy.clone(), of.events.clone(), of.counters.clone()));
        let guards = Guards::open(config.data.as_deref());
        guards.keep_those_of(&config);
        let webhooks = ServerState::new(asked.collect(), guards.clone(), decisions.clone(), in_force.clone());
        let sources = Sources {
            status: webhooks.status().clone(),
            policies,
            guards,
            decisions,
            reloads: Reloads::default(),
            config: in_force,
            stopping: webhooks.stopping().clone(),
            traces,
        };
        Ok(Self { webhooks, listener, admin_listener, sources, builtin, drained })
    }

    /// Reads the configuration again on SIGHUP (`hangups`) and when one of its files has changed, and sends it to `changes`.
    /// Looks up the policy's name on SIGHUP too.
    pub(crate) fn reload(
        &self,
        source: Source,
        hangups: Signal,
        changes: watch::Sender<Arc<Config>>,
        log: Log,
    ) -> io::Result<()> {
        let Sources { policies, guards, decisions, reloads, config, .. } = self.sources.clone();
        let mut changed = config.clone();
        tokio::spawn(async move {
            loop {
                guards.keep_those_of(&*changed.changed().await);
            }
        });
        let parts = policies.iter().map(|of| (of.channel.clone(), of.policy.clone())).collect();
        reload::subscribe(&config, parts, log);
        tokio::spawn(source.watch(hangups, changes, decisions, reloads));
        let mut hangups = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                policies.iter().for_each(|of| of.channel.look_up());
            }
        });
        Ok(())
    }

    /// The address where webhooks are answered, with the port that the system chose.
    pub fn address(&self) -> io::Result<Address> {
        self.listener.address()
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> io::Result<Address> {
        self.admin_listener.address()
    }

    /// The parts that the admin listener reports on.
    #[doc(hidden)]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Serves until `until` ends, then finishes what is in flight.
    pub async fn run(self, until: impl Future<Output = Stop>) -> io::Result<()> {
        let Self { webhooks, listener, admin_listener, sources, builtin, drained } = self;
        let longest_pause = sources.config.now().after.retry_max;
        for of in &sources.policies {
            tokio::spawn(resume_events(of.health.clone(), of.events.clone(), longest_pause));
        }
        let admin = tokio::spawn(admin::run(admin_listener, sources, drained.clone()));
        server::run(listener, webhooks, until).await;
        // The built-in policy answers calls until now, and probes see hookgate stop.
        drained.cancel();
        admin.await?;
        if let Some(served) = builtin {
            // It would wait for a client that holds an idle connection.
            match timeout(BUILTIN_DRAIN, served).await {
                Ok(ended) => ended?.map_err(io::Error::other)?,
                Err(_) => warn!("built-in policy stopped with connections open"),
            }
        }
        info!("stopped");
        Ok(())
    }
}

type Served = JoinHandle<Result<(), tonic::transport::Error>>;

/// Serves the built-in policy until `drained`; returns its URL.
async fn serve_builtin(address: SocketAddr, drained: CancellationToken) -> io::Result<(PolicyUrl, Served)> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| cannot_bind(&Address::Tcp(address), "--builtin-listen", error))?;
    let url = format!("http://{}", listener.local_addr()?).parse().map_err(io::Error::other)?;
    Ok((url, tokio::spawn(builtin::serve(listener, drained.cancelled_owned()))))
}

/// Opens the After events of a policy: on disk, if a directory is configured. Waits up to `patience` for another process that
/// uses it.
async fn events(
    policy: &Policy<Channel>,
    named: &NamedPolicy,
    config: &Config,
    decisions: Decisions,
    patience: Duration,
) -> Result<Events, StartError> {
    let (after, body) = (&named.after(config), config.limits.body);
    let data = named.data(config);
    let give_up = Instant::now() + patience;
    let mut is_told = false;
    loop {
        let (policy, decisions) = (policy.clone(), decisions.clone());
        // An attempt takes a second of the thread; in the pause between two a signal is heard.
        let opened = match data.as_deref() {
            directory if !after.store.is_empty() => Events::on_cluster(policy, after, decisions, directory, body).await,
            Some(directory) => Events::on_disk(policy, after, decisions, directory).map_err(StartError::Disk),
            None => Ok(Events::in_memory(policy, after, decisions)),
        };
        match opened {
            Err(StartError::Disk(OpenError::InUse(directory))) if Instant::now() < give_up => {
                if !std::mem::replace(&mut is_told, true) {
                    info!(directory = %directory.display(), "outbox in use, waiting for the process before this one");
                }
                sleep(IN_USE_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// Warns of each directory below `data` whose events no policy is sent, as policies were renamed or removed.
fn warn_of_outboxes_of_no_policy(config: &Config) {
    // One that is not there is made, and one that cannot be read ends the start.
    let found = config.data.as_deref().map(outbox::outboxes).and_then(Result::ok).unwrap_or_default();
    let policies = config.policies();
    for (policy, directory) in found.iter().filter(|(name, _)| policies.iter().all(|of| *of.name != **name)) {
        warn!(directory = %directory.display(), policy, "outbox of no policy, its events are not delivered");
    }
}

/// Resumes the delivery of events when the policy is ready again: at most once in `pause`, or a policy that crashes on an event
/// would be sent it as fast as it restarts.
async fn resume_events(mut health: watch::Receiver<health::State>, events: Events, pause: Duration) {
    while health.changed().await.is_ok() {
        if health.borrow_and_update().is_ready() && events.resume() {
            sleep(pause).await;
        }
    }
}

/// Takes the socket that the process was started with, or binds one.
async fn bind(address: &Address, option: &str, inherited: &mut Inherited) -> io::Result<Listener> {
    if let Some(listener) = inherited.take(address) {
        info!(%address, "listening on the socket that was passed");
        return Ok(listener);
    }
    Listener::bind(address).await.map_err(|error| cannot_bind(address, option, error))
}

fn cannot_bind(address: &Address, option: &str, error: io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {why} ({option} takes another address)"))
}
