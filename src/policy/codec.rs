//! A codec of messages that are encoded already.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Bytes before each message: a flag and the length.
const HEADER: usize = 5;

/// Initial capacity for a response. tonic's default is 8 KiB, for each call and direction.
const ANSWER: usize = 256;

/// Bytes after which tonic flushes; a single message is flushed anyway.
const YIELD: usize = 32 << 10;

/// Encodes and decodes bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BytesCodec {
    room: usize,
}

impl BytesCodec {
    /// A codec for a request of this length.
    pub(super) fn for_bytes(length: usize) -> Self {
        Self { room: HEADER + length }
    }
}

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(self.room, YIELD)
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(ANSWER, YIELD)
    }
}
