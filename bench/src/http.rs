//! The least HTTP/1.1 client that is sure of what it was told: a load must cost less than what it loads.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept.
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// The last reply that was an allow; the next one is most likely the same.
    allowed: Vec<u8>,
}

/// What a webhook was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Allow,
    /// An allow before the policy has heard of it: the work is still to be done.
    Accepted,
    /// A denial, or nothing that OpenIM would read.
    Other,
}

/// A reply, and whether hookgate says that it has only accepted an event.
struct Reply {
    status: u16,
    accepted: bool,
    body: Vec<u8>,
}

/// Where a reply's head ends, and how its body is delimited.
struct Head {
    end: usize,
    status: u16,
    accepted: bool,
    length: Option<usize>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(1024), allowed: Vec::new() })
    }

    /// Sends a webhook.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        let Reply { status, accepted, body } = self.exchange(request).await?;
        if status != 200 {
            return Ok(Answer::Other);
        }
        if body != self.allowed {
            if !is_allow(&body) {
                return Ok(Answer::Other);
            }
            self.allowed = body;
        }
        Ok(if accepted { Answer::Accepted } else { Answer::Allow })
    }

    /// The body that a request gets.
    pub async fn body(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.exchange(request).await.map(|reply| reply.body)
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Reply> {
        self.socket.write_all(request).await.context("cannot send")?;
        self.buffer.clear();
        loop {
            let read = self.socket.read_buf(&mut self.buffer).await.context("cannot read the reply")?;
            ensure!(read > 0, "the connection was closed before the reply");
            let Some(head) = head(&self.buffer)? else { continue };
            let body = &self.buffer[head.end..];
            let body = match head.length {
                Some(length) if body.len() >= length => body[..length].to_vec(),
                None if body.ends_with(b"0\r\n\r\n") => joined(body)?,
                _ => continue,
            };
            return Ok(Reply { status: head.status, accepted: head.accepted, body });
        }
    }
}

fn head(reply: &[u8]) -> Result<Option<Head>> {
    let Some(end) = reply.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&reply[..end]).context("a reply's head is no text")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no HTTP/1.1 reply: {first:?}"))?;
    let mut head = Head { end: end + 4, status, accepted: false, length: None };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { bail!("a reply with an odd line: {line:?}") };
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value.trim().parse().context("a reply's length is no number")?);
        } else if name.eq_ignore_ascii_case("hookgate-outcome") {
            head.accepted = value.trim() == "accepted";
        }
    }
    Ok(Some(head))
}

/// A body that came in chunks, in one piece.
fn joined(mut chunks: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = chunks.windows(2).position(|two| two == b"\r\n").context("a chunk without a length")?;
        let length = std::str::from_utf8(&chunks[..line]).context("a chunk's length is no text")?;
        let length = usize::from_str_radix(length.trim(), 16).context("a chunk's length is no number")?;
        if length == 0 {
            return Ok(body);
        }
        let from = line + 2;
        body.extend_from_slice(chunks.get(from..from + length).context("a chunk is cut off")?);
        chunks = chunks.get(from + length + 2..).context("a chunk is cut off")?;
    }
}

/// OpenIM goes on where `nextCode` is 0 or not there.
fn is_allow(body: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(reply)) = serde_json::from_slice(body) else { return false };
    reply.get("nextCode").is_none_or(|code| code.as_i64() == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_no_allow() {
        assert!(is_allow(b"{}"));
        assert!(is_allow(br#"{"actionCode":0,"nextCode":0}"#));
        assert!(!is_allow(br#"{"actionCode":0,"errCode":5001,"nextCode":1}"#));
        assert!(!is_allow(b"[]"));
        assert!(!is_allow(b""));
    }

    #[test]
    fn chunks_are_joined() {
        assert_eq!(joined(b"2\r\n{\"\r\n5\r\na\":1}\r\n0\r\n\r\n").unwrap(), b"{\"a\":1}");
        assert!(joined(b"9\r\n{}\r\n0\r\n\r\n").is_err());
    }

    #[test]
    fn heads_are_read_whatever_their_case() {
        let found = head(b"HTTP/1.1 200 OK\r\nContent-LENGTH: 2\r\n\r\n{}").unwrap().unwrap();
        assert_eq!((found.status, found.length), (200, Some(2)));
        assert!(head(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
    }
}
