//! The outbox of a hookgate that serves, or of a directory.

use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::Error;
use crate::cli::admin::{Admin, AdminClient};
use crate::outbox::{Count, Offline, OperateError};

/// Ends an error without a reply.
const ELSEWHERE: &str = "--admin takes another address, --data a directory";

pub(super) enum Backend {
    Serving(Box<AdminClient>),
    Directory(Offline),
}

impl From<OperateError> for Error {
    fn from(error: OperateError) -> Self {
        Self::Io(io::Error::other(error))
    }
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
            None => Ok(Self::Serving(Box::new(admin.client(ELSEWHERE)))),
        }
    }

    /// Counts the events by rpc, state and reason.
    pub(super) async fn counts(&self) -> Result<Vec<Count>, Error> {
        match self {
            Self::Directory(directory) => Ok(directory.counted()?),
            Self::Serving(client) => Ok(client.get("/outbox").await?),
        }
    }

    /// Asks the admin API, below `/outbox`, or the directory.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
        offline: impl FnOnce(&mut Offline) -> Result<T, OperateError>,
    ) -> Result<T, Error> {
        match self {
            Self::Directory(directory) => Ok(offline(directory)?),
            Self::Serving(client) => Ok(client.post(&format!("/outbox/{path}"), body).await?),
        }
    }
}
