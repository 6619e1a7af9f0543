//! Ordering keys of After events.

use std::sync::Arc;

use hookgate::contract::{Callback, ordering_key, transcode};

fn key(command: &str, body: &str) -> Option<Arc<str>> {
    let callback = Callback::by_command(command).expect("a command of the table");
    let message = transcode(callback.request, command, body.as_bytes()).expect("a body").0;
    ordering_key(callback.request, callback.ordered_by, &message)
}

#[test]
fn a_single_chat_has_one_key_in_both_directions() {
    let command = "callbackAfterSendSingleMsgCommand";
    let one = key(command, r#"{"sendID":"u2","recvID":"u1"}"#);
    assert_eq!(one.as_deref(), Some("u1+u2"));
    assert_eq!(key(command, r#"{"sendID":"u1","recvID":"u2","content":"x"}"#), one);
    assert_eq!(key(command, r#"{"sendID":"u1"}"#), None, "half of a chat is none");
}

#[test]
fn the_first_list_whose_fields_all_have_a_text_counts() {
    let command = "callbackAfterMsgSaveDBCommand";
    let group = key(command, r#"{"sendID":"u1","recvID":"","groupID":"g1"}"#);
    assert_eq!(group.as_deref(), Some("g1"));
    assert_eq!(key(command, r#"{"sendID":"u1","recvID":"u2"}"#).as_deref(), Some("u1+u2"));
}

#[test]
fn an_event_without_such_fields_has_no_key() {
    assert_eq!(key("callbackAfterUserRegisterCommand", r#"{"users":[{"userID":"u1"}]}"#), None);
    assert_eq!(key("callbackAfterRemoveBlackCommand", "{}"), None);
}
