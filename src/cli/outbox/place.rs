//! Where the events are: with a hookgate that serves, or in a directory.

use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cli::Error;
use crate::cli::admin::{Admin, Asked, NoAnswer};
use crate::outbox::{Changed, Count, Filter, Item, Offline, OperateError};

pub(super) enum Place {
    Serving(Box<Asked>),
    Directory(Offline),
}

impl From<OperateError> for Error {
    fn from(error: OperateError) -> Self {
        Self::Io(io::Error::other(error))
    }
}

impl Place {
    pub(super) fn of(data: Option<PathBuf>, admin: Admin) -> Result<Self, Error> {
        match data {
            // A directory that is not there would be made.
            Some(directory) if !directory.exists() => {
                Err(Error::Usage(format!("--data {}: there is no such directory", directory.display())))
            }
            Some(directory) => Ok(Self::Directory(Offline::open(&directory)?)),
            None => Ok(Self::Serving(Box::new(admin.open()))),
        }
    }

    pub(super) async fn counted(&self) -> Result<Vec<Count>, Error> {
        match self {
            Self::Directory(offline) => Ok(offline.counted()?),
            Self::Serving(asked) => asked.get("/outbox").await.map_err(unanswered),
        }
    }

    pub(super) async fn list(&self, filter: &Filter) -> Result<Vec<Item>, Error> {
        match self {
            Self::Directory(offline) => Ok(offline.list(filter)?),
            Self::Serving(asked) => ask(asked, "/outbox/list", filter).await,
        }
    }

    pub(super) async fn count(&self, filter: &Filter) -> Result<i64, Error> {
        match self {
            Self::Directory(offline) => Ok(offline.count(filter)?),
            Self::Serving(asked) => ask(asked, "/outbox/count", filter).await,
        }
    }

    pub(super) async fn show(&self, id: &str, reveal: bool) -> Result<Item, Error> {
        match self {
            Self::Directory(offline) => Ok(offline.show(id, reveal)?),
            Self::Serving(asked) => ask(asked, "/outbox/show", &json!({ "id": id, "reveal": reveal })).await,
        }
    }

    pub(super) async fn replay(&mut self, filter: &Filter) -> Result<Changed, Error> {
        match self {
            Self::Directory(offline) => Ok(offline.replay(filter)?),
            Self::Serving(asked) => ask(asked, "/outbox/replay", filter).await,
        }
    }

    pub(super) async fn discard(&mut self, filter: &Filter) -> Result<Changed, Error> {
        match self {
            Self::Directory(offline) => Ok(offline.discard(filter)?),
            Self::Serving(asked) => ask(asked, "/outbox/drop", filter).await,
        }
    }
}

async fn ask<T: DeserializeOwned>(asked: &Asked, path: &str, body: &impl Serialize) -> Result<T, Error> {
    asked.post(path, body).await.map_err(unanswered)
}

/// Why there is no answer; where nobody serves, the directory is another way.
fn unanswered(error: NoAnswer) -> Error {
    match error {
        NoAnswer::NoReply(error) => {
            Error::Io(io::Error::other(format!("{error} (--admin takes another address, --data a directory)")))
        }
        error => error.into(),
    }
}
