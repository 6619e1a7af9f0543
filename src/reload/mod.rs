//! Change without restart: on SIGHUP, and when a file of the configuration has changed, everything is read anew. What
//! comes of it is in force as a whole, or not at all.

mod changes;
mod files;
mod follow;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::config::{Config, Finding, Loaded, Losses, Options, Origin, Report, differences, losses};
use crate::observe::decisions::Decisions;
use files::Files;

pub use follow::Followers;

/// How often the files are looked at. One that has changed is read when it is the same at two looks: whoever writes it
/// has finished.
const LOOK: Duration = Duration::from_secs(1);

/// How long a look may take before somebody is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file that was emptied, or is just being written, is not taken for one that takes everything back.
const NO_SETTINGS: &str = "holds no setting any more; a restart takes an empty file";

/// Reads the configuration, and remembers what for the next time.
#[derive(Debug)]
pub struct Source {
    options: Options,
    files: Files,
    /// Set if the file that was taken last holds no setting.
    is_blank: bool,
}

/// What has become of the attempts to read it anew. Its clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Reloads(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    ok: u64,
    refused: u64,
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    at: SystemTime,
    /// Why it was refused, a line each.
    refused: Vec<String>,
    /// The settings that only a restart can change, and that have changed.
    needs_restart: Vec<&'static str>,
}

impl Source {
    /// Reads the configuration for the first time.
    pub fn load(options: &Options) -> Result<(Self, Loaded), Report> {
        let mut source = Self { options: options.clone(), files: Files::default(), is_blank: true };
        let loaded = source.read(None)?;
        Ok((source, loaded))
    }

    fn read(&mut self, in_force: Option<&Config>) -> Result<Loaded, Report> {
        let (loaded, files) = Files::of(in_force.is_some(), |text_of| Config::load_from(&self.options, text_of));
        // A file that is not named any more is no longer looked at; one that could not be read is.
        self.files = files;
        let mut loaded = loaded?;
        if let (Some(before), Some(file)) = (in_force, self.options.file()) {
            self.keeps_its_rules(file, before, &mut loaded)?;
        }
        let is_blank = self.options.file().is_none_or(|file| loaded.is_blank(file));
        let loaded = self.checked(in_force, loaded)?;
        self.is_blank = is_blank;
        Ok(loaded)
    }

    /// Refuses what takes protections away without a word that says so.
    fn keeps_its_rules(&self, file: &str, before: &Config, now: &mut Loaded) -> Result<(), Report> {
        let Losses { mut refused, warnings } = losses(file, before, now);
        if now.is_blank(file) && !self.is_blank {
            refused.push(Finding::new(Origin::File(file.to_owned(), None), "", NO_SETTINGS));
        }
        now.warnings.extend(warnings);
        if refused.is_empty() { Ok(()) } else { Err(Report(refused)) }
    }

    /// Tries what the decision log is to be written to.
    fn checked(&self, in_force: Option<&Config>, loaded: Loaded) -> Result<Loaded, Report> {
        // What is open is left alone: the check could take away a file that the decision log has just made.
        if in_force.is_some_and(|before| before.decisions.to == loaded.config.decisions.to) {
            return Ok(loaded);
        }
        match Decisions::check(&loaded.config.decisions) {
            Ok(()) => Ok(loaded),
            Err(error) => Err(loaded.wrong("decisions.to", error.to_string())),
        }
    }

    /// Reads it anew for as long as the program runs, and sends what is to be in force.
    pub async fn watch(mut self, mut hangups: Signal, in_force: watch::Sender<Arc<Config>>, reloads: Reloads) {
        loop {
            self = match self.until_changed(&mut hangups).await {
                Ok(source) => source,
                Err(error) => return error!(%error, "the configuration is not looked at any more"),
            };
            let before = in_force.borrow().clone();
            let read = spawn_blocking(move || {
                let loaded = self.read(Some(&before));
                (self, loaded)
            });
            let loaded;
            (self, loaded) = match read.await {
                Ok(read) => read,
                Err(error) => return error!(%error, "the configuration is not looked at any more"),
            };
            reloads.count(take(loaded, &in_force));
        }
    }

    /// Ends when somebody has asked for it, or a file has changed and stays as it is.
    async fn until_changed(mut self, hangups: &mut Signal) -> io::Result<Self> {
        loop {
            tokio::select! {
                Some(()) = hangups.recv() => return Ok(self),
                () = sleep(LOOK) => {}
            }
            // A file can be on a disk that does not answer; no webhook waits for it.
            let mut looking = spawn_blocking(move || {
                let changed = self.files.have_changed();
                (self, changed)
            });
            let looked = match timeout(PATIENCE, &mut looking).await {
                Ok(looked) => looked,
                Err(_) => {
                    error!("the files of the configuration cannot be looked at: a disk does not answer");
                    looking.await
                }
            };
            let changed;
            (self, changed) = looked?;
            if changed {
                return Ok(self);
            }
        }
    }
}

/// Has what was read in force, or says why not; gives the settings that wait for a restart.
fn take(
    loaded: Result<Loaded, Report>,
    in_force: &watch::Sender<Arc<Config>>,
) -> Result<Vec<&'static str>, Vec<String>> {
    let Loaded { mut config, warnings, .. } = loaded.map_err(|Report(findings)| lines(&findings))?;
    let before = in_force.borrow().clone();
    let put_back = changes::put_back(&before, &mut config);
    for warning in warnings {
        warn!("{warning}");
    }
    if before.asks_who_calls() && !config.asks_who_calls() {
        warn!("ANYBODY may call from now on: the new configuration has no rule any more of who may");
    }
    let changed = differences(&before, &config);
    in_force.send_replace(Arc::new(config));
    match changed.is_empty() {
        true => info!("the configuration was read anew; no setting has changed"),
        false => info!(changed = changed.join(", "), "a new configuration is in force"),
    }
    if !put_back.is_empty() {
        warn!(settings = put_back.join(", "), "a restart is needed to change some settings, which stay as they were");
    }
    Ok(put_back)
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

impl Reloads {
    fn count(&self, result: Result<Vec<&'static str>, Vec<String>>) {
        let counts = &mut *self.counts();
        let (needs_restart, refused) = match result {
            Ok(needs_restart) => (needs_restart, Vec::new()),
            Err(refused) => (Vec::new(), refused),
        };
        for line in &refused {
            error!("{line}");
        }
        if refused.is_empty() {
            counts.ok += 1;
        } else {
            error!("the new configuration is refused; the old one stays in force");
            counts.refused += 1;
        }
        counts.last = Some(Last { at: SystemTime::now(), refused, needs_restart });
    }

    /// How many were taken.
    pub fn ok(&self) -> u64 {
        self.counts().ok
    }

    /// How many were refused.
    pub fn refused(&self) -> u64 {
        self.counts().refused
    }

    /// Whether all that was read last is in force. It is as long as nothing was read anew.
    pub fn last_successful(&self) -> bool {
        self.counts().last.as_ref().is_none_or(|last| last.refused.is_empty() && last.needs_restart.is_empty())
    }

    /// What is known here, as JSON for `/status`.
    pub fn report(&self) -> Value {
        let counts = self.counts();
        let last = counts.last.as_ref().map(|last| {
            let at = last.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            json!({ "at_ms": u64::try_from(at).unwrap_or(u64::MAX), "ok": last.refused.is_empty(), "refused": last.refused,
                "needs_restart": last.needs_restart })
        });
        json!({ "ok": counts.ok, "refused": counts.refused, "last": last })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
