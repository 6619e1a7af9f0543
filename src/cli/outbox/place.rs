//! Where the events are: with a hookgate that serves, or in a directory.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::Error;
use crate::events::{Count, Filter, Item, Offline};

pub(super) enum Place {
    Serving(Client<HttpConnector, Full<Bytes>>, Uri),
    Directory(Offline),
}

/// What went wrong, for people.
fn failed(error: impl ToString) -> Error {
    Error::Io(io::Error::other(error.to_string()))
}

impl Place {
    pub(super) fn of(data: Option<PathBuf>, admin: Uri) -> Result<Self, Error> {
        match data {
            // A directory that is not there would be made.
            Some(directory) if !directory.exists() => {
                Err(Error::Usage(format!("--data {}: there is no such directory", directory.display())))
            }
            Some(directory) => Ok(Self::Directory(Offline::open(&directory)?)),
            None => match (admin.scheme_str(), admin.host()) {
                (Some("http"), Some(_)) => Ok(Self::Serving(Client::builder(TokioExecutor::new()).build_http(), admin)),
                _ => Err(Error::Usage("--admin: a URL as in http://127.0.0.1:10007 is needed".to_owned())),
            },
        }
    }

    pub(super) async fn counted(&self) -> Result<Vec<Count>, Error> {
        match self {
            Self::Directory(offline) => offline.counted().map_err(failed),
            Self::Serving(..) => self.ask(Method::GET, "", &Value::Null).await,
        }
    }

    pub(super) async fn list(&self, filter: &Filter) -> Result<Vec<Item>, Error> {
        match self {
            Self::Directory(offline) => offline.list(filter).map_err(failed),
            Self::Serving(..) => self.ask(Method::POST, "/list", filter).await,
        }
    }

    pub(super) async fn count(&self, filter: &Filter) -> Result<i64, Error> {
        match self {
            Self::Directory(offline) => offline.count(filter).map_err(failed),
            Self::Serving(..) => self.ask(Method::POST, "/count", filter).await,
        }
    }

    pub(super) async fn show(&self, id: &str, reveal: bool) -> Result<Item, Error> {
        match self {
            Self::Directory(offline) => offline.show(id, reveal).map_err(failed),
            Self::Serving(..) => self.ask(Method::POST, "/show", &json!({ "id": id, "reveal": reveal })).await,
        }
    }

    pub(super) async fn replay(&mut self, filter: &Filter) -> Result<usize, Error> {
        match self {
            Self::Directory(offline) => offline.replay(filter).map_err(failed),
            Self::Serving(..) => self.ask(Method::POST, "/replay", filter).await,
        }
    }

    pub(super) async fn discard(&mut self, filter: &Filter) -> Result<usize, Error> {
        match self {
            Self::Directory(offline) => offline.discard(filter).map_err(failed),
            Self::Serving(..) => self.ask(Method::POST, "/drop", filter).await,
        }
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let Self::Serving(client, admin) = self else { return Err(failed("a directory is not asked")) };
        let url = format!("{}/outbox{path}", admin.to_string().trim_end_matches('/'));
        let body = serde_json::to_vec(body).map_err(failed)?;
        let request = Request::builder().method(method).uri(&url).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::from(body)).map_err(failed)?;
        let response = client.request(request).await.map_err(|error| {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            failed(format!("{admin} does not answer: {why} (--admin takes another URL, --data a directory)"))
        })?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(failed)?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(failed);
        }
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let why = told["error"].as_str().map_or_else(|| format!("{url} answers {status}"), str::to_owned);
        Err(failed(why))
    }
}
