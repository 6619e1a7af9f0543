//! A client of the admin listener of a running hookgate.

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
use crate::client::{Client, RequestError, ServerUrl};

/// Time limit of a request, longer than a hookgate takes for any.
const LIMIT: Duration = Duration::from_secs(60);

/// The option that names the admin listener.
#[derive(Debug, Args)]
pub(super) struct Admin {
    /// Admin listener of the running hookgate, or its socket, as in unix:///run/hookgate/admin.sock
    #[arg(long, value_name = "URL", global = true, display_order = 101, default_value = "http://127.0.0.1:10007")]
    admin: ServerUrl,
}

/// A client of an admin listener.
pub(super) struct AdminClient(Client);

/// Reason why the admin listener gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// No reply.
    #[error("{0} (--admin takes another address)")]
    Request(#[from] RequestError),
    /// Another program replied.
    #[error("{0} is not a hookgate's admin listener: {1}")]
    NotHookgate(Box<ServerUrl>, String),
    /// The hookgate refused the request.
    #[error("{0}")]
    Refused(String),
}

impl From<AdminError> for Error {
    fn from(error: AdminError) -> Self {
        Self::Io(io::Error::other(error))
    }
}

impl Admin {
    /// Makes the client, which connects at the first request.
    pub(super) fn client(self) -> AdminClient {
        AdminClient(Client::new(self.admin, None))
    }
}

impl AdminClient {
    /// Sends a GET request. The path begins with a slash.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Sends a POST request with a JSON body.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, AdminError> {
        let body = serde_json::to_vec(body).map_err(|error| AdminError::Refused(error.to_string()))?;
        self.send(Method::POST, path, body.into()).await
    }

    async fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, AdminError> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let (head, body) = self.0.send(method, path, headers, body, LIMIT).await?.into_parts();
        let not_hookgate = |why: String| AdminError::NotHookgate(Box::new(self.0.to().clone()), why);
        if head.status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| not_hookgate(error.to_string()));
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        Err(match answer["error"].as_str() {
            Some(why) => AdminError::Refused(why.to_owned()),
            None => not_hookgate(format!("it answers {path} with {}", head.status)),
        })
    }
}
