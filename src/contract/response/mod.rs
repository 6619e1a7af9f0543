//! The way back: the policy's *response* (protobuf) becomes the *reply* that OpenIM reads (JSON).
//!
//! - `chain`: the request with changes, which the next policy of a chain is sent, and the reply of several responses.
//! - `decode`: a response read by its rows.
//! - `check`: the rules of changes, some of which look at the request.
//! - `reply`: the reply, and [`Callback::reply`](super::Callback::reply), which makes it.
//! - `fields`: values as OpenIM's JSON.

mod chain;
mod check;
mod decode;
mod fields;
mod reply;

pub use check::{RequestFields, RuleViolation};
pub(super) use decode::take_bytes;
pub use decode::{DecodeError, DecodedMessage, Value};
pub use fields::{write_name, write_redacted, write_text, write_whole};
pub use reply::{Denial, InvalidReply, LONGEST_SENTENCE, LOWEST_CODE, Reply};
