//! A client of the admin listener of a running hookgate.

use std::io;

use clap::Args;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Client, ServerUrl};

/// The option that names the admin listener.
#[derive(Debug, Args)]
pub(super) struct Admin {
    /// Admin listener of the running hookgate, or its socket, as in unix:///run/hookgate/admin.sock
    #[arg(long, value_name = "URL", global = true, display_order = 101, default_value = "http://127.0.0.1:10007")]
    admin: ServerUrl,
}

/// A client of an admin listener.
pub(super) struct AdminClient {
    client: Client,
    /// The options that name another target, for errors.
    options: &'static str,
}

impl Admin {
    /// Makes the client, which connects at the first request. An error without a reply names `options`.
    pub(super) fn client(self, options: &'static str) -> AdminClient {
        AdminClient { client: Client::new(self.admin, None), options }
    }
}

impl AdminClient {
    /// Sends a JSON body by POST; without one, a GET request. The path begins with a slash.
    pub(super) async fn ask<T: DeserializeOwned>(&self, path: &str, body: Option<Value>) -> io::Result<T> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let response = self.client.send(method, path, None, body.into()).await;
        let response = response.map_err(|error| io::Error::other(format!("{error} ({})", self.options)))?;
        let (status, body) = (response.status(), response.body());
        let not_hookgate =
            |why| io::Error::other(format!("{} is not a hookgate's admin listener: {why}", self.client.to()));
        if status.is_success() {
            return serde_json::from_slice(body).map_err(|error| not_hookgate(error.to_string()));
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        Err(match answer["error"].as_str() {
            Some(refusal) => io::Error::other(refusal),
            None => not_hookgate(format!("it answers {path} with {status}")),
        })
    }
}
