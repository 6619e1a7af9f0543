//! The outboxes that a command works on: those of a hookgate that serves, or of a directory.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::Error;
use crate::cli::admin::Admin;
use crate::outbox::{Item, Offline, OpenError, OperateError, TARGET, outboxes};

/// Ends an error without a reply.
const ELSEWHERE: &str = "--admin takes another address, --data a directory";

/// The outbox of a policy.
pub(super) struct Backend {
    /// The policy's name.
    pub(super) policy: String,
    place: Place,
}

enum Place {
    /// A hookgate that serves, with the query that names the outbox.
    Serving(Admin, String),
    Directory(Offline),
}

impl Backend {
    /// Opens the outboxes of the directory; without one, those of the admin API. With the name of a policy, its own alone.
    pub(super) async fn open(data: Option<PathBuf>, admin: Admin, policy: Option<&str>) -> Result<Vec<Self>, Error> {
        let Some(data) = data else { return Self::serving(&admin, policy).await };
        // Opening would create it.
        if !data.exists() {
            return Err(Error::Usage(format!("--data {}: there is no such directory", data.display())));
        }
        let found = outboxes(&data).map_err(|error| OpenError::unreadable(&data, &error))?;
        let open = |(policy, directory): (String, PathBuf)| {
            let place = Place::Directory(Offline::open_of(&policy, &directory)?);
            Ok(Self { policy, place })
        };
        narrowed(found, policy)?.into_iter().map(open).collect()
    }

    async fn serving(admin: &Admin, policy: Option<&str>) -> Result<Vec<Self>, Error> {
        let targets: Vec<(String, String)> = match admin.ask("/outbox/targets", None, ELSEWHERE).await {
            Ok(names) => Vec::into_iter(names).map(|name: String| (name.clone(), format!("?target={name}"))).collect(),
            // An older hookgate, with one policy.
            Err(error) if error.kind() == ErrorKind::NotFound => vec![(TARGET.to_owned(), String::new())],
            Err(error) => return Err(error.into()),
        };
        let serving = |(policy, query)| Self { policy, place: Place::Serving(admin.clone(), query) };
        Ok(narrowed(targets, policy)?.into_iter().map(serving).collect())
    }

    /// Returns true if it is that of a hookgate that serves.
    pub(super) fn serves(&self) -> bool {
        matches!(self.place, Place::Serving(..))
    }

    /// Returns the number of events that were evicted since the start because the policy does not implement their rpc.
    async fn evicted(&self) -> io::Result<u64> {
        let Place::Serving(admin, _) = &self.place else { return Ok(0) };
        let status: Value = admin.ask("/status", None, ELSEWHERE).await?;
        let mut named = status["policies"].as_array().into_iter().flatten();
        let of = named.find(|of| of["name"] == *self.policy).unwrap_or(&status);
        Ok(of.pointer("/after_events/disk/unimplemented_evicted").and_then(Value::as_u64).unwrap_or_default())
    }

    /// Asks the admin API, below `/outbox`, or the directory. The error of an unknown ID is of the kind `NotFound`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: Option<Value>,
        offline: impl FnOnce(&mut Offline) -> Result<T, OperateError>,
    ) -> io::Result<T> {
        match &mut self.place {
            Place::Directory(directory) => offline(directory).map_err(failed),
            Place::Serving(admin, query) => admin.ask(&format!("/outbox{path}{query}"), body, ELSEWHERE).await,
        }
    }
}

/// Returns the one of the policy that is named; all if none is.
fn narrowed<T>(mut all: Vec<(String, T)>, policy: Option<&str>) -> Result<Vec<(String, T)>, Error> {
    let Some(policy) = policy else { return Ok(all) };
    let known = all.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", ");
    all.retain(|(name, _)| name == policy);
    if all.is_empty() {
        let hint = if known.is_empty() { "there is none".to_owned() } else { format!("expected {known}") };
        return Err(Error::Usage(format!("--policy {policy:?}: no such policy has an outbox; {hint}")));
    }
    Ok(all)
}

fn failed(error: OperateError) -> io::Error {
    let kind = if let OperateError::Unknown(_) = error { ErrorKind::NotFound } else { ErrorKind::Other };
    io::Error::new(kind, error)
}

/// The error of an ID that no outbox has.
pub(super) fn unknown(id: &str) -> io::Error {
    failed(OperateError::Unknown(id.to_owned()))
}

/// Returns the event with an ID, of the first outbox that has it.
pub(super) async fn show(outboxes: &mut [Backend], id: &str, reveal: bool) -> io::Result<Item> {
    let mut last = unknown(id);
    for outbox in outboxes {
        let body = json!({ "id": id, "reveal": reveal });
        match outbox.ask("/show", Some(body), |outbox| outbox.show(id, reveal)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => last = error,
            shown => return shown,
        }
    }
    Err(last)
}

/// Returns the number of events that all outboxes have evicted.
pub(super) async fn evicted(outboxes: &[Backend]) -> io::Result<u64> {
    let mut evicted = 0;
    for outbox in outboxes {
        evicted += outbox.evicted().await?;
    }
    Ok(evicted)
}
