//! Reads the heads of the frames that the peer sends. h2 reports neither that the peer's SETTINGS have come, without which
//! nothing is known of the peer, nor that a GOAWAY has, before the next call runs into it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::goaway::Goaway;

/// The state of the peer of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum PeerState {
    /// The peer has sent no frame yet.
    #[default]
    Handshaking,
    /// The peer has sent its SETTINGS: it speaks HTTP/2.
    Ready,
    /// The peer has sent a GOAWAY: it takes no new calls.
    Draining(Goaway),
    /// The connection has ended without a GOAWAY, and why.
    Closed(String),
}

/// Counts what the peer has sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    responses: AtomicU64,
}

/// A parser of frame heads.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    head: [u8; HEAD],
    /// The number of bytes of the head that have come.
    filled: usize,
    /// The number of bytes of the payload that have not come.
    payload: usize,
    /// The beginning of a GOAWAY's payload, until all of it has come.
    goaway: Option<Vec<u8>>,
    activity: Activity,
    peer: watch::Sender<PeerState>,
}

/// Length (3), type (1), flags (1), stream (4).
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

impl Activity {
    /// The number of reads with any bytes.
    pub(super) fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Acquire)
    }

    /// The number of HEADERS frames: heads and trailers of responses.
    pub(super) fn responses(&self) -> u64 {
        self.0.responses.load(Ordering::Acquire)
    }
}

impl FrameReader {
    pub(super) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    pub(super) fn peer(&self) -> watch::Receiver<PeerState> {
        self.peer.subscribe()
    }

    /// Reads the bytes of one read; none are the end of the connection.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            self.close(None);
            return Ok(());
        }
        // Counted before its responses: a thread that sees a response sees this read too.
        self.activity.0.reads.fetch_add(1, Ordering::Release);
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
            // A server begins with its SETTINGS, which are no acknowledgement (RFC 9113, 3.4).
            if kind != SETTINGS || flags & 1 != 0 || self.head[5..] != [0; 4] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, self.other_protocol()));
            }
            self.peer.send_replace(PeerState::Ready);
        } else if kind == GOAWAY && self.payload > 0 {
            self.goaway = Some(Vec::new());
        }
        Ok(())
    }

    fn other_protocol(&self) -> &'static str {
        match self.head {
            [b'H', b'T', b'T', b'P', b'/', ..] => "it speaks HTTP/1, not HTTP/2",
            // A TLS alert or handshake.
            [0x15 | 0x16, 3, ..] => "it speaks TLS, and the URL says http://",
            _ => "it does not speak HTTP/2",
        }
    }

    /// Records that h2 has ended the connection, which it may do before the peer has sent a whole head.
    pub(super) fn close_handshake(&self) {
        if *self.peer.borrow() == PeerState::Handshaking {
            self.close(None);
        }
    }

    /// Records the end of the connection, unless a GOAWAY has told why already.
    pub(super) fn close(&self, error: Option<&io::Error>) {
        let handshaking = match *self.peer.borrow() {
            PeerState::Draining(_) => return,
            ref peer => *peer == PeerState::Handshaking,
        };
        let why = match error {
            Some(error) => error.to_string(),
            None if handshaking && self.filled > 0 => self.other_protocol().to_owned(),
            None if handshaking => "it hung up before it said anything".to_owned(),
            None => "it hung up".to_owned(),
        };
        self.peer.send_replace(PeerState::Closed(why));
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameReader, PeerState};

    #[test]
    fn frames_are_found_wherever_the_reads_cut_them() {
        // SETTINGS with one setting, DATA of two bytes that look like a GOAWAY's type, GOAWAY with its payload.
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
        let data = b"\0\0\x02\0\x01\0\0\0\x01\x07\x07";
        let goaway = b"\0\0\x16\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x0btoo_many_pings";
        for size in 1..=43 {
            let mut reader = FrameReader::default();
            let peer = reader.peer();
            let mut feed = |bytes: &[u8]| bytes.chunks(size).for_each(|part| reader.read(part).expect("HTTP/2"));
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
    fn the_beginning_of_a_long_goaway_is_kept() {
        let mut reader = FrameReader::default();
        let peer = reader.peer();
        reader.read(b"\0\0\0\x04\0\0\0\0\0").expect("SETTINGS");
        reader.read(&[b"\0\x3f\xff\x07\0\0\0\0\0", &[b'x'; 0x3fff][..]].concat()).expect("a GOAWAY");
        let PeerState::Draining(goaway) = &*peer.borrow() else { panic!("it drains") };
        assert!(goaway.to_string().len() < 100, "{goaway}");
    }

    #[test]
    fn other_protocols_are_errors() {
        let acknowledgement = b"\0\0\0\x04\x01\0\0\0\0";
        for bytes in [b"HTTP/1.1 400 Bad Request" as &[u8], b"SSH-2.0-OpenSSH", acknowledgement] {
            assert!(FrameReader::default().read(bytes).is_err());
        }
    }
}
