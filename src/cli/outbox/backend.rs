//! The outbox of a hookgate that serves, or of a directory.

use std::io;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::Error;
use crate::cli::admin::Admin;
use crate::outbox::{Offline, OperateError};

/// Ends an error without a reply.
const ELSEWHERE: &str = "--admin takes another address, --data a directory";

pub(super) enum Backend {
    Serving(Admin),
    Directory(Offline),
}

impl Backend {
    /// Opens the directory; without one, the admin API.
    pub(super) fn open(data: Option<PathBuf>, admin: Admin) -> Result<Self, Error> {
        match data {
            // Opening would create it.
            Some(directory) if !directory.exists() => {
                Err(Error::Usage(format!("--data {}: there is no such directory", directory.display())))
            }
            Some(directory) => Ok(Self::Directory(Offline::open(&directory)?)),
            None => Ok(Self::Serving(admin)),
        }
    }

    /// Returns true if it is that of a hookgate that serves.
    pub(super) fn serves(&self) -> bool {
        matches!(self, Self::Serving(_))
    }

    /// Returns the number of events that were evicted since the start because the policy does not implement their rpc.
    pub(super) async fn evicted(&self) -> io::Result<u64> {
        let Self::Serving(admin) = self else { return Ok(0) };
        let status: Value = admin.ask("/status", None, ELSEWHERE).await?;
        Ok(status.pointer("/after_events/disk/unimplemented_evicted").and_then(Value::as_u64).unwrap_or_default())
    }

    /// Asks the admin API, below `/outbox`, or the directory.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: Option<Value>,
        offline: impl FnOnce(&mut Offline) -> Result<T, OperateError>,
    ) -> io::Result<T> {
        match self {
            Self::Directory(directory) => offline(directory).map_err(io::Error::other),
            Self::Serving(admin) => admin.ask(&format!("/outbox{path}"), body, ELSEWHERE).await,
        }
    }
}
