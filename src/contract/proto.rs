//! What `build.rs` made of the contract: the messages and service traits for policy services written in Rust, the
//! callback table, and the descriptors.

#![allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; its documentation is the contract's comments"
)]

tonic::include_proto!("openim.policy.v1");

/// The contract's descriptors: an encoded `google.protobuf.FileDescriptorSet` with comments and custom options.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The contract's files, by their names as imports have them.
pub const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The rows of the table, made from the contract.
pub(crate) mod table {
    use super::super::{Callback, DenialBreaks, Timing};
    use crate::contract::{Field, Group, Id, Kind, Label, Message, RequestIs, Rules};

    include!(concat!(env!("OUT_DIR"), "/table.rs"));
}
