//! `hookgate serve`: the main job.

mod greeting;
mod signals;

use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, warn};

use crate::app::{self, App};
use crate::cli::Error;
use crate::config::{ConfigHandle, Loaded, Options};
use crate::observe::decisions::Decisions;
use crate::observe::logging::{self, FlushedAtEnd, Log};
use crate::outbox::{ClusterError, StartError};
use crate::reload::Source;

/// Maximum time that the end waits for the last lines of the decision log.
const DECISIONS_DRAIN: Duration = Duration::from_secs(1);

/// Serves until a signal stops it.
pub(super) fn run(options: &Options) -> Result<ExitCode, Error> {
    let (source, loaded) = Source::load(options)?;
    let log = logging::init(&loaded.config.log, loaded.config.log_format)?;
    logging::panic_hook();
    let _flushed = FlushedAtEnd(log.clone());
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let runtime = runtime(loaded.config.threads)?;
    let mut decisions = Decisions::default();
    let served = runtime.block_on(serve(&loaded, source, &mut decisions, log.clone()));
    // Without waiting for a name to be resolved, or for a disk that does not answer.
    runtime.shutdown_background();
    if !decisions.flush(DECISIONS_DRAIN) {
        warn!("decision log: last lines dropped, its reader is too slow");
    }
    Ok(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In order with the rest of the log; standard error may have no reader any more.
            log.say(Level::ERROR, &error.to_string(), &[]);
            error.exit_code().into()
        }
    })
}

/// A single thread needs no locks and no wake-ups between cores; several take connections from each other.
fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    // Of no effect on the first kind.
    builder.worker_threads(threads).enable_all().build()
}

/// Serves; sets `decisions` once it is open, to be flushed at the end.
async fn serve(loaded: &Loaded, source: Source, decisions: &mut Decisions, log: Log) -> Result<(), Error> {
    // A SIGHUP while hookgate starts would end it.
    let hangups = signal(SignalKind::hangup())?;
    // Each connection is a file; shells and service managers give a thousand where the system allows far more.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%error, "cannot raise the limit of open files");
    }
    signals::ignore()?;
    let mut stop = pin!(signals::stop(log.clone())?);
    let (changes, in_force) = ConfigHandle::changing(loaded.config.clone());
    let built = tokio::select! {
        built = App::build(in_force) => built,
        // While it waits for the outbox of the process before it.
        _ = &mut stop => return Ok(()),
    };
    let app = built.map_err(|error| match error {
        app::Error::Io(error) => error.into(),
        app::Error::Outbox(StartError::Disk(error)) => error.into(),
        app::Error::Outbox(StartError::Cluster(ClusterError(path, cause))) | app::Error::Setting(path, cause) => {
            Error::from(loaded.wrong(path, cause))
        }
    })?;
    *decisions = app.sources().decisions.clone();
    app.reload(source, hangups, changes, log.clone())?;
    let greeting = tokio::spawn(greeting::greet(&app, &loaded.config, log)?);
    let ended = app.run(stop).await;
    greeting.abort();
    Ok(ended?)
}
