//! A codec that moves bytes: transport code knows no message.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// What stands before each message: a flag and the length.
const HEADER: usize = 5;

/// The room for an answer at first. tonic's own is 8 KiB, for each call and each way.
const ANSWER: usize = 256;

/// When tonic hands on what it has encoded so far; a single message is handed on anyway.
const YIELD: usize = 32 << 10;

/// Takes an encoded message, gives an encoded message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BytesCodec {
    room: usize,
}

impl BytesCodec {
    /// For a message of so many bytes.
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
