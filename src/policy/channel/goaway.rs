//! Parses the payload of a GOAWAY frame, which h2 reports only to the next call.

use std::fmt;

/// The last stream (4) and the reason (4), before the debug data.
const HEAD: usize = 8;

/// The payload of a GOAWAY frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goaway {
    reason: h2::Reason,
    /// The beginning of the debug data, a text of the peer that may be long.
    data: String,
}

impl Goaway {
    /// Maximum bytes of a payload that are read.
    pub(super) const KEPT: usize = HEAD + 64;

    /// Reads the payload, or its beginning.
    pub(super) fn read(payload: &[u8]) -> Self {
        let (head, data) = payload.split_at(payload.len().min(HEAD));
        let reason = head.last_chunk().map_or(0, |reason| u32::from_be_bytes(*reason));
        Self { reason: reason.into(), data: String::from_utf8_lossy(data).into_owned() }
    }

    /// Returns true if the peer objects to the number of pings (gRPC proposal A8).
    pub(super) fn is_too_many_pings(&self) -> bool {
        self.reason == h2::Reason::ENHANCE_YOUR_CALM && self.data == "too_many_pings"
    }
}

impl fmt::Display for Goaway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason, &*self.data) {
            (h2::Reason::NO_ERROR, "") => f.write_str("GOAWAY"),
            (reason, "") => write!(f, "GOAWAY {reason:?}"),
            (reason, data) => write!(f, "GOAWAY {reason:?}, {data:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Goaway;

    #[test]
    fn a_goaway_is_shown_without_the_rest_of_a_long_text() {
        let head = b"\0\0\0\x01\0\0\0";
        for (rest, shown) in [
            ("\0", "GOAWAY"),
            ("\x02", "GOAWAY INTERNAL_ERROR"),
            ("\x0btoo_many_pings", "GOAWAY ENHANCE_YOUR_CALM, \"too_many_pings\""),
            ("\0a\nb\x1b", "GOAWAY NO_ERROR, \"a\\nb\\u{1b}\""),
        ] {
            assert_eq!(Goaway::read(&[head, rest.as_bytes()].concat()).to_string(), shown);
        }
    }
}
