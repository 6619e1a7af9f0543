//! Callbacks as OpenIM sends and reads them: data and pure functions, without I/O.
//!
//! The rows of the table are made by `build.rs` of the `.proto` files. All behaviour is in the files below, and none of
//! them knows a callback. They read OpenIM's JSON, not protobuf's canonical one: 64-bit numbers are numbers, `null` is
//! absent, groups are flat, names are those of OpenIM's structs.
//!
//! - [`Callback`]: a row of the table: a command, its rpc, the messages of both ways.
//! - [`transcode`]: a webhook's JSON to the request message.
//! - [`Callback::reply`]: the policy's response to the reply that OpenIM reads.
//! - [`ordering_key`]: the key by which After events are kept in order.

mod callback;
mod decode;
mod field_path;
pub mod metadata;
mod ordering;
pub mod proto;
mod response;
mod schema;

pub use callback::{Callback, DenialBreaks, Timing};
pub(crate) use decode::names_command;
pub use decode::{Malformed, Transcoded, UnknownFields, check_object, transcode};
pub use field_path::{FieldPath, field_paths, request_field_names};
pub use metadata::Metadata;
pub use ordering::ordering_key;
pub use response::{
    DecodeError, Denial, InvalidReply, LONGEST_SENTENCE, LOWEST_CODE, Record, Reply, RequestFields, RuleViolation,
    Value, echoes, write_field, write_name, write_redacted, write_text, write_whole,
};
pub use schema::{Field, Group, Id, Kind, Label, Message, RequestIs, Rules};
