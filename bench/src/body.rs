//! The webhooks that are sent: made of hookgate's own fixtures.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

const REMOVE_BLACK: &str = include_str!("../../tests/fixtures/callbackAfterRemoveBlackCommand.json");
const SINGLE_MESSAGE: &str = include_str!("../../tests/fixtures/callbackBeforeSendSingleMsgCommand.json");

/// What somebody writes in a chat, with characters that JSON escapes.
const SENTENCE: &str = "Good morning! The \"final\" plan for Thursday is in the shared folder: 3 < 4 & nobody minds.\n\
                        Could you look at it before ten? I marked what I am unsure of. \u{4f60}\u{597d}, Zo\u{eb}\n";

/// Whoever does what the fixtures tell.
const USER: &str = "u1001";

const LONG: usize = 64 << 10;

/// hookgate delivers so many events of a kind at a time; those beyond are accepted and come later, which would count
/// work as done that is put off. OpenIM itself sends events from two workers.
const EVENTS_AT_ONCE: u16 = 32;

/// A webhook as OpenIM sends it.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub name: &'static str,
    pub command: &'static str,
    pub body: String,
}

impl Webhook {
    /// The small one, a message, and a long message.
    pub fn all() -> Result<Vec<Self>> {
        Ok(vec![Self::small()?, Self::message()?, Self::long()?])
    }

    /// An event of two user IDs.
    pub fn small() -> Result<Self> {
        let body = as_go_writes(&first_story(REMOVE_BLACK)?);
        Ok(Self { name: "small", command: "callbackAfterRemoveBlackCommand", body })
    }

    /// Somebody is about to send a message.
    pub fn message() -> Result<Self> {
        Self::message_of("message", SENTENCE)
    }

    fn message_of(name: &'static str, text: &str) -> Result<Self> {
        let mut message = first_story(SINGLE_MESSAGE)?;
        // OpenIM's content is JSON in a string: what is escaped in it is escaped twice.
        message["content"] = as_go_writes(&json!({ "content": text })).into();
        Ok(Self { name, command: "callbackBeforeSendSingleMsgCommand", body: as_go_writes(&message) })
    }

    fn long() -> Result<Self> {
        let empty = Self::message_of("64KiB", "")?.body.len();
        let once = Self::message_of("64KiB", SENTENCE)?.body.len() - empty;
        let mut text = SENTENCE.repeat((LONG - empty) / once);
        text.push_str(&"x".repeat((LONG - empty) % once));
        Self::message_of("64KiB", &text)
    }

    /// How many connections may carry it at a time, of those that are wanted.
    pub fn connections(&self, wanted: u16) -> u16 {
        if self.command.starts_with("callbackAfter") { wanted.min(EVENTS_AT_ONCE) } else { wanted }
    }

    /// The whole request, with the headers of OpenIM's HTTP client. Each connection has a user of its own: what hookgate
    /// tells of one user it tells in order, one event after the other, so users must be as many as in life.
    pub fn request(&self, host: SocketAddr, user: usize) -> Vec<u8> {
        let Self { command, body, .. } = self;
        let body = body.replace(USER, &format!("u{}", 1001 + user));
        let length = body.len();
        format!(
            "POST /{command}?contenttype=json HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Go-http-client/1.1\r\n\
             Content-Length: {length}\r\nContent-Type: application/json; charset=utf-8\r\n\
             Operationid: 1763884800123456789\r\nAccept-Encoding: gzip\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

fn first_story(fixture: &str) -> Result<Value> {
    let mut fixture: Value = serde_json::from_str(fixture).context("a fixture is not JSON")?;
    let sent = fixture.pointer_mut("/stories/0/webhook_sends").context("a fixture without a story")?;
    Ok(sent.take())
}

/// Go escapes what HTML would read; in JSON these characters are in texts alone.
fn as_go_writes(value: &Value) -> String {
    value.to_string().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_their_sizes() {
        let sizes: Vec<usize> = Webhook::all().unwrap().iter().map(|webhook| webhook.body.len()).collect();
        assert!((90..150).contains(&sizes[0]), "{sizes:?}");
        assert!((600..900).contains(&sizes[1]), "{sizes:?}");
        assert_eq!(sizes[2], LONG);
    }

    #[test]
    fn connections_have_users_of_their_own() {
        let (small, host) = (Webhook::small().unwrap(), SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_ne!(small.request(host, 1), small.request(host, 2));
    }

    #[test]
    fn long_content_is_json_in_a_string() {
        let long = Webhook::long().unwrap();
        let message: Value = serde_json::from_str(&long.body).unwrap();
        let content: Value = serde_json::from_str(message["content"].as_str().unwrap()).unwrap();
        assert!(content["content"].as_str().unwrap().starts_with(SENTENCE));
    }
}
