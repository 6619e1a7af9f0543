//! Watches the frames that the peer sends, by their heads alone: h2 tells neither that a connection's SETTINGS have
//! come, without which nothing is known of the peer, nor that a GOAWAY has, before the next call runs into it.
//!
//! And gathers what h2 writes until its connection has had its turn: h2 would give each payload above 256 bytes a system
//! call of its own, and those are a third of what a call costs.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::goaway::Goaway;

/// What is known of the peer of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerState {
    /// It has sent nothing yet.
    Handshaking,
    /// It speaks HTTP/2.
    Ready,
    /// It takes no new calls: it has sent a GOAWAY.
    Draining(Goaway),
    /// It sends no more without a GOAWAY before, and why.
    Closed(String),
}

/// A stream whose frames are watched. It belongs to h2's connection and to the one who polls that, and then writes what it
/// has left here.
#[derive(Debug)]
pub(super) struct Frames<S>(Arc<Mutex<Watched<S>>>);

#[derive(Debug)]
struct Watched<S> {
    stream: S,
    head: [u8; HEAD],
    filled: usize,
    payload: usize,
    /// The beginning of a GOAWAY's payload, while that comes.
    goaway: Option<Vec<u8>>,
    /// What is to be written.
    gathered: BytesMut,
    /// It takes no more bytes. It is read to its end all the same: there may be answers in it, and a GOAWAY that says
    /// which calls were not looked at; h2 would drop both.
    deaf: bool,
    activity: Activity,
    peer: watch::Sender<PeerState>,
}

/// Counts what has come from the peer.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    responses: AtomicU64,
}

impl Activity {
    /// The number of times that any bytes have come.
    pub(super) fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Acquire)
    }

    /// The number of heads and trailers that have come.
    pub(super) fn responses(&self) -> u64 {
        self.0.responses.load(Ordering::Acquire)
    }
}

/// Length (3), type (1), flags (1), stream (4).
const HEAD: usize = 9;
/// How much is gathered at most.
const FULL: usize = 64 << 10;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

impl<S> Frames<S> {
    pub(super) fn new(stream: S) -> (Self, watch::Receiver<PeerState>, Activity) {
        let (watched, known, activity) = Watched::new(stream);
        (Self(Arc::new(Mutex::new(watched))), known, activity)
    }

    /// h2 has ended its connection: it may have seen enough before there was a whole head.
    pub(super) fn end(&self) {
        let watched = self.lock();
        if *watched.peer.borrow() == PeerState::Handshaking {
            watched.ended(None);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Frames<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Watched<S> {
    fn new(stream: S) -> (Self, watch::Receiver<PeerState>, Activity) {
        let (peer, known) = watch::channel(PeerState::Handshaking);
        let (gathered, activity) = (BytesMut::new(), Activity::default());
        let (head, filled, payload, goaway, deaf) = ([0; HEAD], 0, 0, None, false);
        let watched = Self { stream, head, filled, payload, goaway, gathered, deaf, activity: activity.clone(), peer };
        (watched, known, activity)
    }

    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            if let Some(mut goaway) = self.goaway.take() {
                let room = Goaway::KEPT - goaway.len();
                goaway.extend_from_slice(&bytes[..skipped.min(room)]);
                match self.payload {
                    0 => drop(self.peer.send_replace(PeerState::Draining(Goaway::read(&goaway)))),
                    _ => self.goaway = Some(goaway),
                }
            }
            bytes = &bytes[skipped..];

            let taken = (HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEAD {
                self.filled = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> io::Result<()> {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.payload = u32::from_be_bytes([0, high, middle, low]) as usize;
        if kind == HEADERS {
            self.activity.0.responses.fetch_add(1, Ordering::Release);
        }
        if *self.peer.borrow() == PeerState::Handshaking {
            // A server begins with its SETTINGS (RFC 9113, 3.4), which are no acknowledgement.
            if kind != SETTINGS || flags & 1 != 0 || self.head[5..] != [0; 4] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, self.other_language()));
            }
            self.peer.send_replace(PeerState::Ready);
        } else if kind == GOAWAY && self.payload > 0 {
            self.goaway = Some(Vec::new());
        }
        Ok(())
    }

    fn other_language(&self) -> &'static str {
        match self.head {
            [b'H', b'T', b'T', b'P', b'/', ..] => "it speaks HTTP/1, not HTTP/2",
            // A TLS alert or handshake.
            [0x15 | 0x16, 3, ..] => "it speaks TLS, and the URL says http://",
            _ => "it does not speak HTTP/2",
        }
    }

    fn ended(&self, error: Option<&io::Error>) {
        // Why it left says more than that it has gone.
        if matches!(*self.peer.borrow(), PeerState::Draining(_)) {
            return;
        }
        let silent = *self.peer.borrow() == PeerState::Handshaking;
        let why = match error {
            Some(error) => error.to_string(),
            None if silent && self.filled > 0 => self.other_language().to_owned(),
            None if silent => "it hung up before it said anything".to_owned(),
            None => "it hung up".to_owned(),
        };
        self.peer.send_replace(PeerState::Closed(why));
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        let came = &buffer.filled()[before..];
        if !came.is_empty() {
            // Counted before its responses: a thread that sees a response sees this read too.
            self.activity.0.reads.fetch_add(1, Ordering::Release);
        }
        let result = result.and_then(|()| self.read(came));
        match &result {
            Ok(()) if !came.is_empty() => {}
            Ok(()) => self.ended(None),
            Err(error) => self.ended(Some(error)),
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Writes what was gathered. Where nobody takes it, that is all right.
    fn poll_write_gathered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.deaf && !self.gathered.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.gathered)) {
                Ok(written) if written > 0 => self.gathered.advance(written),
                _ => self.deaf = true,
            }
        }
        self.gathered.clear();
        Poll::Ready(())
    }

    /// Writes what was gathered, and has the stream do what belongs behind it.
    fn poll_after_gathered(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<()> {
        ready!(self.poll_write_gathered(cx));
        if !self.deaf && ready!(poll(Pin::new(&mut self.stream), cx)).is_err() {
            self.deaf = true;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncWrite + Unpin> Frames<S> {
    /// Sends what h2 has left here.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.lock().poll_after_gathered(cx, S::poll_flush)
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
        let mut watched = self.lock();
        if watched.gathered.len() >= FULL {
            ready!(watched.poll_write_gathered(cx));
        }
        slices.iter().for_each(|slice| watched.gathered.extend_from_slice(slice));
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing: h2 flushes after every frame, and the turn's end is when [`poll_send`](Self::poll_send) is called.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_after_gathered(cx, S::poll_shutdown).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Frames, PeerState, Watched};

    #[test]
    fn frames_are_found_wherever_the_reads_cut_them() {
        // SETTINGS with one setting, DATA of two bytes that look like a GOAWAY's type, GOAWAY with its payload.
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
        let data = b"\0\0\x02\0\x01\0\0\0\x01\x07\x07";
        let goaway = b"\0\0\x16\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x0btoo_many_pings";
        for size in 1..=43 {
            let (mut frames, peer, _) = Watched::new(());
            let mut feed = |bytes: &[u8]| bytes.chunks(size).for_each(|part| frames.read(part).expect("HTTP/2"));
            feed(&settings[..8]);
            assert_eq!(*peer.borrow(), PeerState::Handshaking);
            feed(&settings[8..]);
            feed(data);
            assert_eq!(*peer.borrow(), PeerState::Ready);
            feed(goaway);
            assert!(matches!(&*peer.borrow(), PeerState::Draining(goaway) if goaway.is_too_many_pings()));
        }
    }

    #[test]
    fn of_a_long_goaway_the_beginning_is_kept() {
        let (mut frames, peer, _) = Watched::new(());
        frames.read(b"\0\0\0\x04\0\0\0\0\0").expect("SETTINGS");
        frames.read(&[b"\0\x3f\xff\x07\0\0\0\0\0", &[b'x'; 0x3fff][..]].concat()).expect("a GOAWAY");
        let PeerState::Draining(goaway) = &*peer.borrow() else { panic!("it has left") };
        assert!(goaway.to_string().len() < 100, "{goaway}");
    }

    #[tokio::test]
    async fn what_was_said_before_it_hung_up_is_read_when_writing_has_failed() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut frames, peer, _) = Frames::new(near);
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        far.write_all(settings).await.expect("room for it");
        drop(far);
        frames.write_all(b"nobody reads this").await.expect("no error");
        poll_fn(|cx| frames.poll_send(cx)).await;
        let mut read = Vec::new();
        frames.read_to_end(&mut read).await.expect("an end");
        assert_eq!((&*read, &*peer.borrow()), (&settings[..], &PeerState::Closed("it hung up".to_owned())));
    }

    #[test]
    fn what_is_not_http_2_is_an_error() {
        let acknowledgement = b"\0\0\0\x04\x01\0\0\0\0";
        for bytes in [b"HTTP/1.1 400 Bad Request" as &[u8], b"SSH-2.0-OpenSSH", acknowledgement] {
            assert!(Watched::new(()).0.read(bytes).is_err());
        }
    }
}
