//! Posts webhooks to a hookgate as OpenIM does, and explains how each OpenIM release reads the replies.
//!
//! - `account`: hookgate's account of its decision.
//! - `body`: changes of single fields of a webhook's JSON.
//! - `report`: a webhook and its reply, printed.
//! - `summary`: counts and latencies of many webhooks.
//! - `last`: the last webhook, for `--repeat-last`.

mod account;
mod body;
mod last;
mod report;
mod summary;

use std::io;
use std::time::Instant;

use account::Account;
pub(crate) use body::Set;
pub(crate) use last::{recall, remember};
pub(crate) use report::{Report, print};
pub(crate) use summary::Summary;

use bytes::Bytes;
use http::header::HeaderName;
use http::{Method, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::Client;
use crate::contract::Callback;
use crate::openim::{Explanation, Interpretation, cautions, explain};

/// OpenIM's header for the ID of the operation.
const OPERATION_ID: HeaderName = HeaderName::from_static("operationid");

/// A webhook as OpenIM posts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Webhook {
    /// Last segment of the URL's path.
    pub command: String,
    /// Value of the header `operationID`.
    pub operation_id: String,
    /// JSON body.
    #[serde(skip)]
    pub body: Bytes,
}

/// A reply. OpenIM ignores all of it but the body.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP response.
    response: Response<Bytes>,
    /// Time from the request until the body was complete, in milliseconds.
    millis: f64,
    /// The reading of each release that sends the callback: newest first, those that agree together.
    explanations: Vec<Explanation>,
    /// Sentences about hookgate's part in it.
    notes: Vec<String>,
}

impl Webhook {
    /// Makes a webhook with an operation ID of its own. `command` may be one that older releases send.
    pub(crate) fn new(command: &str, body: Bytes) -> Self {
        Self { command: command.to_owned(), operation_id: format!("trigger-{}", Uuid::now_v7()), body }
    }

    /// Returns the callback of the command; the fallback if the command is unknown.
    pub(crate) fn callback(&self) -> &'static Callback {
        Callback::by_command(&self.command).unwrap_or_else(Callback::fallback)
    }

    /// Posts the webhook and waits for the reply.
    pub(crate) async fn post(&self, client: &Client) -> io::Result<Reply> {
        let (path, operation_id) = (format!("/{}", self.command), (OPERATION_ID, &*self.operation_id));
        let began = Instant::now();
        let response = client.send(Method::POST, &path, Some(operation_id), self.body.clone()).await?;
        let millis = began.elapsed().as_secs_f64() * 1000.0;
        let explanations = explain(self.callback(), &self.body, response.body());
        let is_emptied = explanations.iter().any(|explanation| !explanation.emptied.is_empty());
        let cautions = cautions(self.callback(), &self.body, response.body());
        let notes = account::notes(self, response.headers(), response.body(), is_emptied, &cautions);
        Ok(Reply { response, millis, explanations, notes })
    }
}

impl Reply {
    /// Returns the reading of the newest release.
    pub(crate) fn verdict(&self) -> Interpretation {
        self.explanations.first().map_or(Interpretation::Told, |newest| newest.verdict)
    }

    /// Returns hookgate's account of the reply; `None` if no hookgate wrote it.
    fn account(&self) -> Option<Account<'_>> {
        Account::read(self.response.headers())
    }

    /// Returns true if a hookgate wrote the reply.
    pub(crate) fn is_of_hookgate(&self) -> bool {
        self.account().is_some()
    }
}
