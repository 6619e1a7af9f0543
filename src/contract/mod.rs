//! Callbacks as OpenIM sends them and reads their replies: data and pure functions, without I/O.
//!
//! `build.rs` generates a table from the `.proto` files, one row a callback; the code here names none of them. It reads
//! and writes OpenIM's JSON, not protobuf's canonical mapping: 64-bit numbers are numbers, `null` means absent, flattened
//! groups stand among their siblings, and names are those of OpenIM's structs.
//!
//! - [`Callback`]: a row of the table: the command, the rpc, the messages of request and response.
//! - [`transcode`]: a webhook's JSON to the *request* (protobuf), which the policy gets.
//! - [`Callback::reply`]: the policy's *response* (protobuf) to the *reply* (JSON), which OpenIM reads.
//! - [`ordering_key`]: the key of an After event; events with one key are delivered in order.
//! - [`Filter`]: conditions on a request.
//! - [`Metadata`]: the gRPC metadata of a call.

mod callback;
pub(crate) mod comments;
mod decode;
mod field_path;
mod filter;
pub mod metadata;
mod ordering;
pub mod proto;
mod response;
mod schema;

pub use callback::{Callback, DenialBreaks, Timing};
pub(crate) use decode::names_command;
pub use decode::{BodyDrift, Malformed, UnknownFields, check_object, transcode};
pub use field_path::{FieldPath, field_paths, request_field_names};
pub use filter::{Condition, Filter, Ids, Place, PlaceKind, Texts, Wanted};
pub use metadata::Metadata;
pub use ordering::ordering_key;
pub use response::{
    DecodeError, DecodedMessage, Denial, InvalidReply, LONGEST_SENTENCE, LOWEST_CODE, Reply, RequestFields,
    RuleViolation, Value, write_name, write_redacted, write_text, write_whole,
};
pub use schema::{Field, Group, Id, Kind, Label, Message, RequestIs, Rules};
