//! The stream under an h2 connection: the peer's first bytes are checked, and writes are gathered until h2's turn ends. h2
//! alone makes a system call for each payload above 256 bytes, and those are a third of what a call costs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

use super::subchannel::Subchannel;

/// A stream of bytes: TCP, TLS or a Unix socket.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream shared by h2's connection and by the driver that polls it and then flushes.
#[derive(Clone)]
pub(super) struct BufferedStream(Arc<Mutex<Inner>>);

struct Inner {
    stream: BufWriter<Box<dyn Stream>>,
    subchannel: Arc<Subchannel>,
    /// The head of the peer's first frame, as far as it has come.
    head: Vec<u8>,
    /// True if bytes came in this turn of h2's. An error after them waits for the next one: it would hide a GOAWAY from
    /// [`closed`](super::connection::Connection::closed).
    has_read: bool,
    /// True after a failed write: the rest is discarded, and no error is returned. On an error h2 would not read on, and
    /// lose answers and a GOAWAY that says which calls were not processed.
    write_closed: bool,
}

/// Length of a frame's head: length (3), type (1), flags (1), stream (4).
const HEAD: usize = 9;

const SETTINGS: u8 = 4;

/// Size of the write buffer in bytes; a full one is written at once.
const WRITE_BUFFER: usize = 64 << 10;

impl BufferedStream {
    /// A stream whose reads are counted by `subchannel`.
    pub(super) fn new(stream: Box<dyn Stream>, subchannel: Arc<Subchannel>) -> Self {
        let stream = BufWriter::with_capacity(WRITE_BUFFER, stream);
        let head = Vec::with_capacity(HEAD);
        Self(Arc::new(Mutex::new(Inner { stream, subchannel, head, has_read: false, write_closed: false })))
    }

    /// Sends all that h2 has written, at the end of its turn.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.lock();
        inner.has_read = false;
        inner.poll_write((), |stream| stream.poll_flush(cx))
    }
}

impl Inner {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if result.is_err() && self.has_read {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // h2 passes on the text of an error that is contained, but not the system's.
        result.map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.has_read = true;
            self.subchannel.count_read();
        }
        Poll::Ready(if self.head.len() < HEAD { self.read_head(read) } else { Ok(()) })
    }

    /// Reads the head of the first frame, from one read. A server begins with its SETTINGS, which are no acknowledgement (RFC
    /// 9113, 3.4); the error says what the peer does instead.
    fn read_head(&mut self, read: &[u8]) -> io::Result<()> {
        self.head.extend(read.iter().take(HEAD - self.head.len()));
        let why = match *self.head {
            [] => "it hung up before it said anything",
            [0, _, _, SETTINGS, flags, 0, 0, 0, 0] if flags & 1 == 0 => return Ok(()),
            // The length is below 64 KiB: the rest may come.
            [0, ..] if self.head.len() < HEAD && !read.is_empty() => return Ok(()),
            [b'H', ..] if self.head.len() < 5 && !read.is_empty() => return Ok(()),
            [b'H', b'T', b'T', b'P', b'/', ..] => "it speaks HTTP/1, not HTTP/2",
            // A TLS alert or handshake.
            [0x15 | 0x16, 3, ..] => "it speaks TLS, and the URL says http://",
            _ => "it does not speak HTTP/2",
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }

    /// Polls the writing half. After a failed write everything is discarded, which counts as `written`.
    fn poll_write<T>(
        &mut self,
        written: T,
        poll: impl FnOnce(Pin<&mut BufWriter<Box<dyn Stream>>>) -> Poll<io::Result<T>>,
    ) -> Poll<T> {
        if !self.write_closed {
            match ready!(poll(Pin::new(&mut self.stream))) {
                Ok(written) => return Poll::Ready(written),
                Err(_) => self.write_closed = true,
            }
        }
        Poll::Ready(written)
    }
}

impl AsyncRead for BufferedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_read(cx, buffer)
    }
}

impl AsyncWrite for BufferedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.0.lock().poll_write(length, |stream| stream.poll_write_vectored(cx, slices)).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: h2 flushes after every frame, and the driver calls [`poll_send`](Self::poll_send) after h2's turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_write((), |stream| stream.poll_shutdown(cx)).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::path::Path;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::watch;

    use super::{BufferedStream, Subchannel};
    use crate::config::Address;

    #[tokio::test]
    async fn after_a_failed_write_the_rest_is_read() {
        let (near, mut far) = tokio::io::duplex(64);
        let address = Address::Unix(Path::new("policy.sock").into());
        let subchannel = Arc::new(Subchannel::new(address, Arc::default(), watch::Sender::default()));
        let mut stream = BufferedStream::new(Box::new(near), subchannel);
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        far.write_all(settings).await.expect("room for it");
        drop(far);
        stream.write_all(b"never read").await.expect("no error");
        poll_fn(|cx| stream.poll_send(cx)).await;
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.expect("an end");
        assert_eq!(read, settings);
    }
}
