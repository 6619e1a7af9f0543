//! What the commands ask of a running hookgate's admin listener.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Error;
use crate::client::{Client, NoReply, Place};

/// Longer than a hookgate takes for anything it is asked.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which hookgate is asked.
#[derive(Debug, Args)]
pub(super) struct Admin {
    /// The admin listener of the running hookgate; or its socket as in unix:///run/hookgate/admin.sock
    #[arg(long, value_name = "URL", global = true, display_order = 101, default_value = "http://127.0.0.1:10007")]
    admin: Place,
}

/// A running hookgate.
pub(super) struct Asked(Client);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nobody answers.
    #[error("{0} (--admin takes another address)")]
    NoReply(#[from] NoReply),
    /// Something else answers.
    #[error("{0} is not a hookgate's admin listener: {1}")]
    NoHookgate(Box<Place>, String),
    /// The hookgate says why not.
    #[error("{0}")]
    Refused(String),
}

impl From<NoAnswer> for Error {
    fn from(error: NoAnswer) -> Self {
        Self::Io(io::Error::other(error))
    }
}

impl Admin {
    /// Begins to ask.
    pub(super) fn open(self) -> Asked {
        Asked(Client::new(self.admin, None))
    }
}

impl Asked {
    /// What is at a path, which begins with a slash.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NoAnswer> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// The answer to a question in JSON.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, NoAnswer> {
        let body = serde_json::to_vec(body).map_err(|error| NoAnswer::Refused(error.to_string()))?;
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, NoAnswer> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let (head, body) = self.0.send(method, path, headers, body, PATIENCE).await?.into_parts();
        let no_hookgate = |why: String| NoAnswer::NoHookgate(Box::new(self.0.to().clone()), why);
        if head.status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| no_hookgate(error.to_string()));
        }
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        Err(match told["error"].as_str() {
            Some(why) => NoAnswer::Refused(why.to_owned()),
            None => no_hookgate(format!("it answers {path} with {}", head.status)),
        })
    }
}
