//! One HTTP/2 connection: h2's driver, with keepalive pings.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::client::{self, SendRequest};

use super::keepalive::{Keepalive, Pings};
use super::stream::{BufferedStream, Stream};
use super::subchannel::Subchannel;
use crate::cut::cut;

/// HTTP/2 flow control windows in bytes, of a response and of a connection.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 5 << 20;

/// Maximum bytes of a response's headers, and of its trailers: a status message of 256 KiB, and 16 KiB for the rest.
const HEADER_LIST: u32 = (256 + 16) << 10;

/// Maximum bytes of a GOAWAY's debug data that go to the log.
const LONGEST_DATA: usize = 80;

/// A connection whose peer has sent its SETTINGS. Calls in flight make progress only while [`closed`](Self::closed) or
/// [`drain`](Self::drain) is polled; dropping it breaks them.
pub(super) struct Connection {
    driver: BoxFuture<'static, Result<(), h2::Error>>,
    keepalive: BoxFuture<'static, ()>,
    /// Fails as soon as the connection takes no new calls.
    pub(super) sender: SendRequest<Bytes>,
}

/// Reasons why a connection takes no new calls.
pub(super) enum CloseReason {
    /// The peer has sent a GOAWAY, or the connection has no stream ID left. Calls in flight go on.
    Draining(h2::Error),
    /// The connection broke, and why.
    Broken(String),
}

impl Connection {
    /// Makes the HTTP/2 handshake, up to the peer's SETTINGS: h2's own does not wait for them, and a socket that accepts and
    /// sends nothing would count as connected. SETTINGS that allow no stream are waited out.
    pub(super) async fn handshake(
        stream: Box<dyn Stream>,
        subchannel: Arc<Subchannel>,
        pings: Pings,
    ) -> Result<Self, h2::Error> {
        let stream = BufferedStream::new(stream, subchannel.clone());
        let (sender, mut connection) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            // Until the peer's SETTINGS say otherwise.
            .initial_max_send_streams(0)
            .handshake::<_, Bytes>(stream.clone())
            .await?;
        let keepalive = Keepalive::new(connection.ping_pong().expect("taken once"), pings, subchannel);
        let mut driver = Box::pin(poll_fn(move |cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            // Bytes that cannot be sent yet wake this driver again.
            let _ = stream.poll_send(cx);
            ended
        }));
        poll_fn(|cx| match (driver.as_mut().poll(cx), sender.current_max_send_streams()) {
            (Poll::Pending, 0) => Poll::Pending,
            (Poll::Ready(ended), 0) => Poll::Ready(ended),
            _ => Poll::Ready(Ok(())),
        })
        .await?;
        Ok(Self { driver, keepalive: Box::pin(keepalive.run()), sender })
    }

    /// Ends when the connection takes no new calls.
    pub(super) async fn closed(&mut self) -> CloseReason {
        poll_fn(|cx| {
            let ended = self.driver.as_mut().poll(cx);
            let why = match (self.sender.poll_ready(cx), ended) {
                (Poll::Ready(Err(error)), _) if !error.is_io() && !error.is_library() => {
                    return Poll::Ready(CloseReason::Draining(error));
                }
                (_, Poll::Ready(Err(error))) => error.to_string(),
                (_, Poll::Ready(Ok(()))) => "it hung up".to_owned(),
                // Its calls have failed; only its last bytes wait until the peer reads.
                (Poll::Ready(Err(error)), Poll::Pending) => error.to_string(),
                (_, Poll::Pending) => match self.keepalive.as_mut().poll(cx) {
                    Poll::Ready(()) => "it answers no pings".to_owned(),
                    Poll::Pending => return Poll::Pending,
                },
            };
            Poll::Ready(CloseReason::Broken(why))
        })
        .await
    }

    /// Ends when the calls in flight have ended, or the peer is dead.
    pub(super) async fn drain(self) {
        // h2 closes a connection that nothing can send on after its last call.
        drop(self.sender);
        tokio::select! {
            biased;
            _ = self.driver => {}
            () = self.keepalive => {}
        }
    }
}

impl CloseReason {
    /// Returns true if the peer objects to the number of pings (gRPC proposal A8).
    pub(super) fn is_too_many_pings(&self) -> bool {
        self.to_string().ends_with("(GOAWAY ENHANCE_YOUR_CALM (b\"too_many_pings\"))")
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining(error) => {
                let Some(reason) = error.reason() else { return write!(f, "it takes no new calls ({error})") };
                // h2 shows the debug data nowhere but at the end of its text.
                let text = error.to_string();
                let (_, data) = text.split_once(reason.description()).unwrap_or_default();
                write!(f, "it takes no new calls (GOAWAY {reason:?}{})", cut(data, LONGEST_DATA))
            }
            Self::Broken(why) => f.write_str(why),
        }
    }
}
