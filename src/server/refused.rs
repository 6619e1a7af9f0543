//! Replies to requests that are refused by their heads: nothing of their bodies is kept.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, header};
use http_body::Body;
use tracing::warn;

use super::caller::Connection;
use super::decision::{Decider, Decision};
use super::record::Record;
use super::webhook::Webhook;
use super::{Refusal, Response, ServerState, access, body, connection, heads};
use crate::policy::Transport;

/// Largest body in bytes that fits into the buffer which each connection has from its beginning.
const FITS_BUFFER: u64 = 32 << 10;

/// Refuses a request by its head, and skips its body as far as that can be.
pub(super) async fn refuse(
    record: &Record,
    head: Parts,
    body: impl Body<Data = Bytes> + Unpin,
    refusal: Refusal,
) -> Response {
    let limits = &record.config.limits;
    // Callers who may not call share as much room for their bodies as for unfinished heads, and keep none of it.
    let is_long =
        matches!(refusal, Refusal::Caller(_)) && body.size_hint().upper().is_none_or(|bytes| bytes > FITS_BUFFER);
    let mut response = record.refuse(head, refusal);
    // Now, not when the caller is done with its body.
    record.publish();
    let mut share = record.connection.shared.status.heads.share();
    let has_room = !is_long || share.grow(connection::BUFFER, limits.memory / 4).is_ok();
    let whole = has_room && body::skip(body, limits.body, record.arrived + record.config.budget).await;
    if is_long || !whole {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl<T: Transport> ServerState<T> {
    /// Returns the reply to a head that became no request; `bytes` are those that came of it. The connection is closed after it.
    pub(super) fn refuse_head(&self, connection: &Arc<Connection>, refusal: Refusal, bytes: &[u8]) -> Response {
        let record = Record::begin(connection.clone());
        if let Refusal::Caller(_) = refusal {
            // It has been counted with the connection.
            return Decision::refused(refusal).response(&record.config);
        }
        let Some(mut head) = heads::read(bytes) else {
            self.shared.status.count_not_webhook(refusal.not_webhook());
            warn!(reason = %refusal, "request refused");
            return Decision::refused(refusal).response(&record.config);
        };
        let response = match access::check(&record.config, &connection.caller, &head.headers, &head.uri) {
            Err(refusal) => record.refuse(head, refusal),
            Ok(uri) => {
                head.uri = uri.unwrap_or(head.uri);
                match Webhook::route(&head, record.config.access.secret_paths.is_some()) {
                    Ok(webhook) => {
                        let webhook = record.begin_webhook(webhook, &head.headers, self.traces());
                        let decider = Decider::new(webhook.callback, &record.config);
                        record.reply(self.unread(webhook, &decider, refusal.into()))
                    }
                    Err(_) => record.refuse(head, refusal),
                }
            }
        };
        record.publish();
        response
    }
}
