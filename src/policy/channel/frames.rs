//! The stream under an h2 connection: a [`FrameReader`] sees what is read, and writes are gathered until h2's turn ends. h2
//! alone makes a system call for each payload above 256 bytes, and those are a third of what a call costs.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::frame_reader::{Activity, FrameReader, PeerState};

/// A stream shared by h2's connection and by the driver that polls it and then flushes.
#[derive(Debug)]
pub(super) struct Frames<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    reader: FrameReader,
    write_buffer: BytesMut,
    /// True after a failed write: the rest is discarded, and no error is returned. On an error h2 would not read on, and
    /// lose answers and a GOAWAY that says which calls were not processed.
    write_closed: bool,
}

/// Bytes in the write buffer beyond which it is written at once.
const WRITE_BUFFER_MAX: usize = 64 << 10;

impl<S> Frames<S> {
    pub(super) fn new(stream: S) -> (Self, watch::Receiver<PeerState>, Activity) {
        let reader = FrameReader::default();
        let (peer, activity) = (reader.peer(), reader.activity());
        let inner = Inner { stream, reader, write_buffer: BytesMut::new(), write_closed: false };
        (Self(Arc::new(Mutex::new(inner))), peer, activity)
    }

    /// Records that h2 has ended its connection.
    pub(super) fn close_handshake(&self) {
        self.lock().reader.close_handshake();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Frames<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: AsyncRead + Unpin> Inner<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        let result = result.and_then(|()| self.reader.read(&buffer.filled()[before..]));
        if let Err(error) = &result {
            self.reader.close(Some(error));
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_write_buffer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.write_closed && !self.write_buffer.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.write_buffer)) {
                Ok(written) if written > 0 => self.write_buffer.advance(written),
                _ => self.write_closed = true,
            }
        }
        self.write_buffer.clear();
        Poll::Ready(())
    }

    /// Writes the buffer, then polls the stream.
    fn poll_after_write(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<()> {
        ready!(self.poll_write_buffer(cx));
        if !self.write_closed && ready!(poll(Pin::new(&mut self.stream), cx)).is_err() {
            self.write_closed = true;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncWrite + Unpin> Frames<S> {
    /// Sends all that h2 has written.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.lock().poll_after_write(cx, S::poll_flush)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        if inner.write_buffer.len() >= WRITE_BUFFER_MAX {
            ready!(inner.poll_write_buffer(cx));
        }
        slices.iter().for_each(|slice| inner.write_buffer.extend_from_slice(slice));
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: h2 flushes after every frame, and the driver calls [`poll_send`](Self::poll_send) after h2's turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_after_write(cx, S::poll_shutdown).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Frames, PeerState};

    #[tokio::test]
    async fn after_a_failed_write_the_rest_is_read() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut frames, peer, _) = Frames::new(near);
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        far.write_all(settings).await.expect("room for it");
        drop(far);
        frames.write_all(b"never read").await.expect("no error");
        poll_fn(|cx| frames.poll_send(cx)).await;
        let mut read = Vec::new();
        frames.read_to_end(&mut read).await.expect("an end");
        assert_eq!((&*read, &*peer.borrow()), (&settings[..], &PeerState::Closed("it hung up".to_owned())));
    }
}
