//! Requests to the admin listener of a running hookgate.

use std::fmt::Display;
use std::io;

use bytes::Bytes;
use clap::Args;
use http::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Client, ServerUrl};

/// The option that names the admin listener.
#[derive(Debug, Clone, Args)]
pub(super) struct Admin {
    /// Admin listener of the running hookgate, or its socket, as in unix:///run/hookgate/admin.sock
    #[arg(long, value_name = "URL", global = true, display_order = 101, default_value = "http://127.0.0.1:10007")]
    admin: ServerUrl,
}

impl Admin {
    /// Sends a JSON body by POST; without one, a GET request. The path begins with a slash. An error without a reply names
    /// `options`, which lead to another target.
    pub(super) async fn send(&self, path: &str, body: Option<Value>, options: &str) -> io::Result<Response<Bytes>> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let response = Client::new(self.admin.clone(), None).send(method, path, None, body.into()).await;
        response.map_err(|error| io::Error::other(format!("{error} ({options})")))
    }

    /// Sends a request as `send` does, and parses the JSON of the response. The error of status 404 is of the kind `NotFound`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<Value>,
        options: &str,
    ) -> io::Result<T> {
        let response = self.send(path, body, options).await?;
        let (status, body) = (response.status(), response.body());
        if status.is_success() {
            return serde_json::from_slice(body).map_err(|error| self.not_hookgate(error));
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = match answer["error"].as_str() {
            Some(refusal) => io::Error::other(refusal),
            None => self.not_hookgate(format!("it answers {path} with {status}")),
        };
        Err(if status == StatusCode::NOT_FOUND { io::Error::new(io::ErrorKind::NotFound, error) } else { error })
    }

    /// The error of a server that answers as no hookgate does.
    pub(super) fn not_hookgate(&self, why: impl Display) -> io::Error {
        io::Error::other(format!("{} is not a hookgate's admin listener: {why}", self.admin))
    }
}
