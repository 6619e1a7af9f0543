//! The way back: the policy's *response* (protobuf) becomes the *reply* that OpenIM reads (JSON).
//!
//! - `record`: a response read by its rows.
//! - `check`: the rules of changes, some of which look at the request.
//! - `reply`: the reply, and [`Callback::reply`](super::Callback::reply), which makes it.
//! - `writer`: values as OpenIM's JSON.

mod check;
mod decoded;
mod reply;
mod writer;

pub use check::{RequestFields, RuleViolation};
pub(super) use decoded::take_bytes;
pub use decoded::{DecodeError, DecodedMessage, Value};
pub use reply::{Denial, InvalidReply, LONGEST_SENTENCE, LOWEST_CODE, Reply};
pub use writer::{write_name, write_redacted, write_text, write_whole};
