//! Heads that never become a request. Their reply is a denial like any other.

use std::io;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Response;
use crate::observe::rejected::Reason;

/// Maximum bytes read of a client after its reply: closing before it has sent all could reset the connection, and it would
/// never read the reply.
const REST: u64 = 256 << 10;

/// Names the protocol of a connection that does not begin with a head of HTTP/1.1. hyper has skipped empty lines.
pub(super) fn protocol_of(head: &[u8]) -> (Reason, &'static str) {
    match head {
        [b'P', b'R', b'I', b' ', b'*', ..] => (Reason::Http2, "HTTP/2 is spoken to the port of HTTP/1.1"),
        [b'P', b'R', b'O', b'X', b'Y', b' ', ..] => (Reason::ProxyProtocol, "the PROXY protocol, version 1"),
        [0, b'\r', b'\n', b'Q', b'U', b'I', b'T', ..] => (Reason::ProxyProtocol, "the PROXY protocol, version 2"),
        [0x16, 3, ..] => (Reason::NotHttp, "TLS is spoken to a port of plain HTTP"),
        _ => (Reason::NotHttp, "no HTTP/1.1"),
    }
}

/// Reads as much of a head as came: its request line, and the fields that came whole.
pub(super) fn read(head: &[u8]) -> Option<Parts> {
    let end = head.iter().rposition(|byte| *byte == b'\n')?;
    let mut lines = head[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(uri).ok()?;
    *request.version_mut() = Version::HTTP_11;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            request.headers_mut().append(name, value);
        }
    }
    Some(request.into_parts().0)
}

/// Writes a reply to a connection that hyper has given up, closes it, and reads on for a moment.
pub(super) async fn answer(io: &mut (impl AsyncRead + AsyncWrite + Unpin), response: Response) -> io::Result<()> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut out = format!("HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n", head.status, body.len());
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != http::header::CONNECTION) {
        out.extend([name.as_str(), ": ", value.to_str().unwrap_or_default(), "\r\n"]);
    }
    out.push_str("\r\n");
    io.write_all(&[out.as_bytes(), &body].concat()).await?;
    io.shutdown().await?;
    tokio::io::copy(&mut io.take(REST), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

    use super::read;

    #[test]
    fn what_came_whole_is_read() {
        let head = read(b"POST /x?y HTTP/1.1\r\nHost: h\r\noperationID:  op \r\nbad line\r\nLong: aaa").unwrap();
        assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), ("POST", "/x?y"));
        assert_eq!(head.headers.len(), 2);
        assert_eq!(head.headers["operationid"], "op");
        for none in ["", "POST", "POST /x HTTP/1.1", "POST /x\r\n", "P ST /x HTTP/1.1\r\n", "POST /\u{1} HTTP/1.1\r\n"]
        {
            assert!(read(none.as_bytes()).is_none(), "{none}");
        }
    }
}
