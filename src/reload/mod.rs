//! Reload: on SIGHUP, and when a file of the configuration has changed, the whole configuration is read again. It is applied
//! as a whole, or refused as a whole.
//!
//! - `files`: the files, polled for changes.
//! - `restart`: settings that only a restart can change.
//! - `subscribe`: the parts that apply changes.

mod files;
mod restart;
mod subscribe;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::config::{Config, Loaded, Options, Report, differences, losses};
use crate::observe::counters::millis_now;
use crate::observe::decisions::Decisions;
use crate::observe::notify::{NotifyState, notify, notify_reloading};
use files::Files;

pub(crate) use subscribe::subscribe;

/// Interval between polls of the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which a poll that has not ended is logged.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the configuration, and remembers the files for the next time.
#[derive(Debug)]
pub(crate) struct Source {
    options: Options,
    files: Files,
    /// Set if the file that was applied last holds no setting.
    is_blank: bool,
}

/// The counters of reloads. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Reloads(watch::Sender<Counts>);

/// The counters of reloads at a moment, as `/status` shows them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Configurations that were applied.
    pub(crate) ok: u64,
    /// Configurations that were refused.
    pub(crate) refused: u64,
    pub(crate) last: Option<Last>,
}

/// The last reload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Last {
    /// In milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) ok: bool,
    /// The reasons to refuse it, a line each.
    pub(crate) refused: Vec<String>,
    /// Changed settings that only a restart can change.
    pub(crate) needs_restart: Vec<String>,
}

impl Source {
    /// Reads the configuration for the first time.
    pub(crate) fn load(options: &Options) -> Result<(Self, Loaded), Report> {
        let mut source = Self { options: options.clone(), files: Files::default(), is_blank: true };
        let loaded = source.read(None)?;
        Ok((source, loaded))
    }

    /// Reads the configuration. With a `present` one, its decision log is changed too, as it is the last that can fail.
    fn read(&mut self, present: Option<(&Config, &Decisions)>) -> Result<Loaded, Report> {
        let (loaded, files) = Files::of(present.is_some(), |text_of| Config::load_from(&self.options, text_of));
        // Files that could not be read are polled too.
        self.files = files;
        let mut loaded = loaded?;
        let file = self.options.file().map(|(name, _)| name);
        let is_blank = file.is_none_or(|file| loaded.is_blank(file));
        if let (Some((before, _)), Some(file)) = (present, file) {
            let warnings = losses(file, before, &loaded, is_blank && !self.is_blank)?;
            loaded.warnings.extend(warnings);
        }
        let wanted = &loaded.config.decisions;
        let opened = present.map_or_else(|| Decisions::check(wanted), |(_, decisions)| decisions.change(wanted));
        opened.map_err(|error| loaded.wrong("decisions.to", error.to_string()))?;
        self.is_blank = is_blank;
        Ok(loaded)
    }

    /// Reads the configuration again for each SIGHUP and each change of a file, and publishes it. Ends only if
    /// reading it panics.
    pub(crate) async fn watch(
        mut self,
        mut hangups: Signal,
        config: watch::Sender<Arc<Config>>,
        decisions: Decisions,
        reloads: Reloads,
    ) {
        loop {
            let asked = tokio::select! {
                Some(()) = hangups.recv() => true,
                () = sleep(POLL_INTERVAL) => false,
            };
            if asked {
                notify_reloading();
            }
            let (before, decisions) = (config.borrow().clone(), decisions.clone());
            // A file can be on a disk that hangs; no webhook waits for it.
            let mut polled = spawn_blocking(move || {
                let loaded = (asked || self.files.have_changed()).then(|| self.read(Some((&before, &decisions))));
                (self, loaded)
            });
            let ended = match timeout(POLL_TIMEOUT, &mut polled).await {
                Ok(ended) => ended,
                Err(_) => {
                    error!("configuration files not readable, disk hangs");
                    polled.await
                }
            };
            let loaded;
            (self, loaded) = match ended {
                Ok(read) => read,
                Err(error) => {
                    // A service manager waits for it after each reload.
                    notify(&[NotifyState::Ready]);
                    return error!(%error, "configuration reload stopped, restart required");
                }
            };
            match loaded {
                Some(Ok(loaded)) => reloads.count(Vec::new(), apply(loaded, &config)),
                Some(Err(Report(findings))) => {
                    reloads.count(findings.iter().map(ToString::to_string).collect(), Vec::new());
                }
                None => {}
            }
            if asked {
                notify(&[NotifyState::Ready]);
            }
        }
    }
}

/// Publishes a configuration. Returns the changed settings that only a restart can change.
fn apply(Loaded { mut config, warnings, .. }: Loaded, present: &watch::Sender<Arc<Config>>) -> Vec<String> {
    let before = present.borrow().clone();
    let needs_restart = restart::keep_restart_only(&before, &mut config);
    for warning in warnings {
        warn!("{warning}");
    }
    if before.asks_who_calls() && !config.asks_who_calls() {
        warn!("access rules removed, ANYBODY may call");
    }
    let changed = differences(&before, &config);
    present.send_replace(Arc::new(config));
    match changed.is_empty() {
        true => info!("configuration unchanged"),
        false => info!(changed = changed.join(", "), "configuration reloaded"),
    }
    if !needs_restart.is_empty() {
        warn!(settings = needs_restart.join(", "), "restart required to change settings");
    }
    needs_restart
}

impl Reloads {
    /// Counts a reload, which was refused if there are reasons.
    fn count(&self, refused: Vec<String>, needs_restart: Vec<String>) {
        for line in &refused {
            error!("{line}");
        }
        let ok = refused.is_empty();
        if !ok {
            error!("configuration reload refused, previous configuration stays in force");
        }
        self.0.send_modify(|counts| {
            counts.ok += u64::from(ok);
            counts.refused += u64::from(!ok);
            counts.last = Some(Last { at_ms: millis_now(), ok, refused, needs_restart });
        });
    }

    /// Returns the counters so far.
    pub(crate) fn counts(&self) -> Counts {
        self.0.borrow().clone()
    }
}

impl Counts {
    /// Returns true if all settings that were read last are in force, which they are before the first reload.
    pub(crate) fn last_successful(&self) -> bool {
        self.last.as_ref().is_none_or(|last| last.ok && last.needs_restart.is_empty())
    }
}
