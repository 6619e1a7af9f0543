//! Plays OpenIM: posts webhooks to a hookgate, and says what OpenIM would make of the replies.
//!
//! - `body`: what is posted: a lifelike body, changed field by field.
//! - `post`: one webhook and its reply.
//! - `outlook`: what the releases of OpenIM make of a reply, in words.
//! - `report`: a webhook and its reply, shown.
//! - `tally`: what came of many.
//! - `last`: the webhook that was posted last, to be posted again.

mod body;
mod last;
mod outlook;
mod post;
mod report;
mod tally;

pub use body::{Set, Unfit};
pub use last::{recall, remember};
pub use outlook::{Outlook, Verdict, outlook};
pub use post::{Poster, Reply};
pub use report::{print, report};
pub use tally::Tally;

use bytes::Bytes;
use uuid::Uuid;

use crate::contract::Callback;

/// A webhook as OpenIM posts it.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The last segment of the URL.
    pub command: String,
    /// The header `operationID`.
    pub operation_id: String,
    /// The body.
    pub body: Bytes,
}

impl Webhook {
    /// A webhook of a callback, by today's command or an older one, with an operation ID that no other has.
    pub fn new(command: &str, body: Bytes) -> Self {
        Self { command: command.to_owned(), operation_id: operation_id(), body }
    }

    /// The same for another operation.
    pub fn of_another_operation(&self) -> Self {
        Self { operation_id: operation_id(), ..self.clone() }
    }

    /// The callback whose command this is; that of unknown commands where there is none.
    pub fn callback(&self) -> &'static Callback {
        Callback::by_command(&self.command).unwrap_or_else(Callback::fallback)
    }
}

fn operation_id() -> String {
    format!("trigger-{}", Uuid::now_v7())
}
