//! HTTP/2 as far as a policy needs it that gives every call the same answer (RFC 9113).

use std::collections::HashMap;

use anyhow::{Result, ensure};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// SETTINGS_INITIAL_WINDOW_SIZE: a megabyte, so that no call of these waits for more.
const WINDOW: &[u8] = &[0, 4, 0, 16, 0, 0];
/// How much the connection may send before it is told more.
const CREDIT: u32 = 1 << 30;
/// ":status: 200" by its number, and "content-type: application/grpc" in plain letters.
const RESPONSE: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// "grpc-status: 0" in plain letters.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";
/// A message of no bytes, after its flag and length: an allow.
const EMPTY: &[u8] = &[0, 0, 0, 0, 0];
/// `grpc.health.v1.HealthCheckResponse`: SERVING.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// One connection's side that answers.
#[derive(Default)]
pub struct Answers {
    greeted: bool,
    /// How much each call has sent so far, where it came in pieces.
    begun: HashMap<u32, usize>,
    /// Of the connection's credit.
    consumed: u32,
}

impl Answers {
    /// Answers every whole frame of the input; how much of it was read.
    pub fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize> {
        let mut at = 0;
        if !self.greeted {
            if input.len() < PREFACE.len() {
                return Ok(0);
            }
            ensure!(input.starts_with(PREFACE), "no HTTP/2");
            self.greeted = true;
            at = PREFACE.len();
            frame(output, SETTINGS, 0, 0, WINDOW);
            frame(output, WINDOW_UPDATE, 0, 0, &(CREDIT - 65_535).to_be_bytes());
        }
        while let Some((head, rest)) = input[at..].split_first_chunk::<HEAD>() {
            let [l1, l2, l3, kind, flags, s1, s2, s3, s4] = *head;
            let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
            let Some(payload) = rest.get(..length) else { break };
            self.frame(kind, flags, u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]), payload, output);
            at += HEAD + length;
        }
        if self.consumed > CREDIT / 2 {
            frame(output, WINDOW_UPDATE, 0, 0, &self.consumed.to_be_bytes());
            self.consumed = 0;
        }
        Ok(at)
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8], output: &mut Vec<u8>) {
        let ends = flags & END_STREAM != 0;
        match kind {
            DATA => {
                self.consumed += payload.len() as u32;
                if !ends {
                    *self.begun.entry(stream).or_default() += payload.len();
                    return;
                }
                let before = if self.begun.is_empty() { 0 } else { self.begun.remove(&stream).unwrap_or(0) };
                // Without HPACK nobody knows what was called; but no webhook is an empty message, and a question for
                // the health of the whole service is one.
                let health = before + payload.len() <= EMPTY.len();
                frame(output, HEADERS, END_HEADERS, stream, RESPONSE);
                frame(output, DATA, 0, stream, if health { SERVING } else { EMPTY });
                frame(output, HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS);
            }
            RST_STREAM => drop(self.begun.remove(&stream)),
            SETTINGS if flags & ACK == 0 => frame(output, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(output, PING, ACK, 0, payload),
            _ => {}
        }
    }
}

fn frame(output: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    output.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    output.extend_from_slice(&[kind, flags]);
    output.extend_from_slice(&stream.to_be_bytes());
    output.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(stream: u32, pieces: &[&[u8]]) -> Vec<u8> {
        let mut input = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let last = index + 1 == pieces.len();
            frame(&mut input, DATA, if last { END_STREAM } else { 0 }, stream, piece);
        }
        input
    }

    fn answers(input: &[u8]) -> Vec<u8> {
        let (mut answers, mut output) = (Answers { greeted: true, ..Answers::default() }, Vec::new());
        assert_eq!(answers.answer(input, &mut output).unwrap(), input.len());
        output
    }

    fn holds(output: &[u8], message: &[u8]) -> bool {
        let mut wanted = Vec::new();
        frame(&mut wanted, DATA, 0, 1, message);
        output.windows(wanted.len()).any(|part| part == wanted)
    }

    #[test]
    fn a_call_is_allowed_whether_or_not_it_comes_in_pieces() {
        assert!(holds(&answers(&call(1, &[&[0, 0, 0, 0, 2, 10, 0]])), EMPTY));
        assert!(holds(&answers(&call(1, &[&[0, 0, 0, 0, 2, 10, 0], &[]])), EMPTY));
    }

    #[test]
    fn a_question_for_health_is_told_that_it_serves() {
        assert!(holds(&answers(&call(1, &[EMPTY])), SERVING));
    }

    #[test]
    fn half_a_frame_waits() {
        let (mut answers, mut output) = (Answers { greeted: true, ..Answers::default() }, Vec::new());
        let input = call(1, &[&[0, 0, 0, 0, 2, 10, 0]]);
        assert_eq!(answers.answer(&input[..12], &mut output).unwrap(), 0);
        assert!(output.is_empty());
    }
}
