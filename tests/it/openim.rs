//! What OpenIM makes of a reply, case by case: the body, the verdict fields, the changes, the denial on its way to the
//! API client.

use hookgate::contract::{Callback, Timing};
use hookgate::openim::{ClientError, Effect, Reading, Release, read};
use serde_json::{Value, json};

const GROUP_INFO_EX: &str = "callbackBeforeSetGroupInfoExCommand";
const MODIFY: &str = "callbackBeforeMsgModifyCommand";
const REGISTER: &str = "callbackBeforeUserRegisterCommand";
const PUSH: &str = "callbackBeforeOfflinePushCommand";

/// The reading of a reply to a request.
fn reading(command: &str, request: Value, reply: &[u8], release: Release) -> Reading {
    let callback = Callback::by_command(command).expect("in the table");
    read(callback, request.to_string().as_bytes(), reply, release)
}

/// The reading on every release, which is one and the same.
fn everywhere(command: &str, request: Value, reply: &[u8]) -> Reading {
    let on = |release| reading(command, request.clone(), reply, release);
    let newest = on(Release::V3_8_4);
    for release in Release::ALL {
        assert_eq!(on(release), newest, "on {}", release.as_str());
    }
    newest
}

/// The changes that a reply makes, on every release.
fn effects(command: &str, request: Value, reply: Value) -> Vec<(&'static str, Option<Value>)> {
    match everywhere(command, request, reply.to_string().as_bytes()) {
        Reading::Allowed(effects) => effects.into_iter().map(|Effect { field, value, .. }| (field, value)).collect(),
        other => panic!("{reply} is {other:?}"),
    }
}

fn is_allowed_and_changes_nothing(command: &str, reply: &[u8]) {
    assert_eq!(everywhere(command, json!({}), reply), Reading::Allowed(Vec::new()), "{}", reply.escape_ascii());
}

fn is_denied(command: &str, reply: &[u8]) {
    for release in Release::ALL {
        let reading = reading(command, json!({}), reply, release);
        assert!(matches!(reading, Reading::Denied(_)), "{} is {reading:?}", reply.escape_ascii());
    }
}

fn is_unreadable(command: &str, reply: &[u8]) {
    for release in Release::ALL {
        match reading(command, json!({}), reply, release) {
            Reading::Unreadable { told, why } => {
                assert_eq!(told.code, 90007, "{}", reply.escape_ascii());
                assert!(told.message.contains("DataError") && !why.is_empty(), "{told:?} because {why}");
            }
            other => panic!("{} is {other:?}", reply.escape_ascii()),
        }
    }
}

/// A test for each case: its name, and the replies of a callback that come to that.
macro_rules! replies {
    ($check:ident, $command:expr; $($name:ident: $($reply:expr),+;)+) => {
        $(#[test]
        fn $name() {
            $($check($command, $reply.as_ref());)+
        })+
    };
}

replies! { is_unreadable, MODIFY;
    an_empty_body_is_unreadable: "";
    white_space_alone_is_unreadable: " ", "\n", "\r\n\t ";
    what_is_not_json_is_unreadable: "ok", "{", r#"{"nextCode":01}"#, "{'nextCode':0}", "{nextCode:0}",
        "{\"ex\":\"a\tb\"}";
    a_byte_order_mark_is_unreadable: "\u{feff}{}";
    two_values_are_unreadable: "{}{}", "{} null", "null null";
    trailing_garbage_is_unreadable: "{},", "{}]", "{}\0", "{} //";
    bytes_that_are_no_text_are_unreadable_outside_of_strings: b"{}\xff", b"\xff{}";
    a_list_is_unreadable: "[]", "[{}]";
    a_string_is_unreadable: "\"x\"";
    a_number_is_unreadable: "0", "1";
    a_bool_is_unreadable: "true", "false";
}

replies! { is_allowed_and_changes_nothing, MODIFY;
    null_allows: "null", " null\n";
    an_empty_object_allows: "{}", "{}\n", " \t\r\n{ } ";
    unknown_fields_are_ignored: r#"{"allow":false,"data":{"nextCode":1},"nextCodes":1,"denial":{"code":1}}"#,
        r#"{"x":[1e999,"\ud800",{"nextCode":1}]}"#;
    null_is_as_good_as_absent: r#"{"actionCode":null,"errCode":null,"errMsg":null,"errDlt":null,"nextCode":null}"#,
        r#"{"content":null,"senderPlatformID":null,"options":null,"atUserIDList":null}"#;
    minus_zero_is_zero: r#"{"nextCode":-0}"#;
    the_last_of_two_verdicts_counts: r#"{"nextCode":1,"nextCode":0}"#, r#"{"nextCode":1,"NEXTCODE":0}"#;
    a_change_that_null_follows_is_none: r#"{"ex":"x","ex":null}"#;
}

replies! { is_denied, MODIFY;
    a_one_denies: r#"{"nextCode":1}"#, "{\"nextCode\":1}\n";
    names_match_in_any_case: r#"{"NEXTCODE":1}"#, r#"{"nextcode":1}"#, r#"{"NextCode":1}"#;
    names_match_when_they_are_escaped: r#"{"\u006eextCode":1}"#;
    the_last_of_two_denials_counts: r#"{"nextCode":0,"nextCode":1}"#, r#"{"nextCode":0,"nextcode":1}"#;
    a_null_after_the_verdict_does_not_take_it_back: r#"{"nextCode":1,"nextCode":null}"#;
    a_denial_beats_changes: r#"{"nextCode":1,"ex":"x","content":"no object"}"#;
}

replies! { is_unreadable, MODIFY;
    a_string_for_a_code_denies: r#"{"nextCode":"nextCodeValue"}"#, r#"{"nextCode":""}"#, r#"{"nextCode":"0"}"#,
        r#"{"nextCode":"1"}"#, r#"{"actionCode":"0"}"#, r#"{"errCode":"5000"}"#;
    a_bool_for_a_code_denies: r#"{"nextCode":false}"#, r#"{"actionCode":true}"#, r#"{"errCode":false}"#;
    a_fraction_or_an_exponent_for_a_code_denies: r#"{"nextCode":1.0}"#, r#"{"nextCode":0.0}"#, r#"{"nextCode":1e0}"#,
        r#"{"errCode":5E3}"#;
    a_code_beyond_32_bits_denies: r#"{"nextCode":2147483648}"#, r#"{"errCode":-2147483649}"#, r#"{"errCode":1e99}"#;
    a_list_or_an_object_for_a_code_denies: r#"{"nextCode":[0]}"#, r#"{"nextCode":{}}"#, r#"{"nextCode":{"value":0}}"#;
    a_number_for_a_text_denies: r#"{"errMsg":0}"#, r#"{"errDlt":5000}"#;
    anything_else_for_a_text_denies: r#"{"errMsg":false}"#, r#"{"errDlt":[]}"#, r#"{"errMsg":{"value":""}}"#;
    a_wrong_type_denies_whatever_the_codes_say: r#"{"actionCode":0,"nextCode":0,"errMsg":1}"#;
    a_wrong_type_denies_even_when_a_right_one_follows: r#"{"nextCode":"0","nextCode":0}"#;
    a_wrong_type_in_a_changed_text_denies: r#"{"content":{"content":"hi"}}"#, r#"{"ex":1}"#;
    a_wrong_type_in_a_changed_number_denies: r#"{"senderPlatformID":"2"}"#, r#"{"senderPlatformID":2.0}"#,
        r#"{"senderPlatformID":2147483648}"#;
    a_wrong_type_in_a_changed_list_denies: r#"{"atUserIDList":"u1"}"#, r#"{"atUserIDList":{}}"#,
        r#"{"atUserIDList":[1]}"#, r#"{"atUserIDList":[["u1"]]}"#;
    a_wrong_type_in_a_changed_map_denies: r#"{"options":[]}"#, r#"{"options":{"history":1}}"#,
        r#"{"options":{"history":"true"}}"#;
}

replies! { is_unreadable, GROUP_INFO_EX;
    a_wrapped_value_denies: r#"{"groupName":{"value":"Team"}}"#, r#"{"needVerification":{"value":1}}"#,
        r#"{"ex":{"value":null}}"#;
}

replies! { is_unreadable, REGISTER;
    one_user_in_place_of_a_list_denies: r#"{"users":{"userID":"u1"}}"#;
    a_wrong_type_within_a_user_denies: r#"{"users":[{"userID":1}]}"#,
        r#"{"users":[{"userID":"u","appMangerLevel":"1"}]}"#;
    an_entry_that_is_no_user_denies: r#"{"users":["u1"]}"#, r#"{"users":[[]]}"#;
}

replies! { is_unreadable, PUSH;
    a_wrong_type_within_an_object_denies: r#"{"offlinePushInfo":{"title":1}}"#,
        r#"{"offlinePushInfo":{"iOSBadgeCount":1}}"#;
    a_list_in_place_of_an_object_denies: r#"{"offlinePushInfo":[]}"#, r#"{"offlinePushInfo":"title"}"#;
}

#[test]
fn what_could_not_be_decoded_is_named() {
    let why = |reply: &str| match reading(REGISTER, json!({}), reply.as_bytes(), Release::V3_8_4) {
        Reading::Unreadable { why, .. } => why,
        other => panic!("{reply} is {other:?}"),
    };
    assert_eq!(why(r#"{"nextCode":"0"}"#), "nextCode is a string, where OpenIM takes a whole number of 32 bits");
    assert_eq!(
        why(r#"{"users":[{"userID":"u"},{"nickname":7}]}"#),
        "users[1].nickname is a number, where OpenIM takes a string"
    );
    assert_eq!(why("[]"), "the reply is a list, where OpenIM takes an object");
    assert!(why("").starts_with("the reply is not JSON"));
}

#[test]
fn an_unreadable_reply_tells_the_client_data_error() {
    let told = |release| match reading(MODIFY, json!({}), b"", release) {
        Reading::Unreadable { told, .. } => told,
        other => panic!("{other:?}"),
    };
    let newest = told(Release::V3_8_4);
    assert_eq!((newest.code, newest.message.as_str()), (90007, "DataError"));
    assert!(newest.detail.ends_with(" response format error"));
    assert!(told(Release::V3_8).message.starts_with("90007 DataError "));
}

/// A test for each pair of codes: on which releases it denies.
macro_rules! codes {
    ($($name:ident: $action_code:literal, $next_code:literal denies on $releases:expr;)+) => {
        $(#[test]
        fn $name() {
            let reply = json!({"actionCode": $action_code, "errCode": 5001, "nextCode": $next_code}).to_string();
            let denies = |release: &Release| {
                matches!(reading(MODIFY, json!({}), reply.as_bytes(), *release), Reading::Denied(_))
            };
            let releases: Vec<_> = Release::ALL.into_iter().filter(denies).collect();
            assert_eq!(releases, $releases);
        })+
    };
}

codes! {
    action_0_next_0_denies_nowhere: 0, 0 denies on [];
    action_0_next_1_denies_everywhere: 0, 1 denies on Release::ALL;
    action_0_next_2_denies_nowhere: 0, 2 denies on [];
    action_0_next_minus_1_denies_nowhere: 0, -1 denies on [];
    action_1_next_0_denies_on_3_5_alone: 1, 0 denies on [Release::V3_5];
    action_1_next_1_denies_on_3_5_alone: 1, 1 denies on [Release::V3_5];
    action_minus_1_next_0_denies_on_3_5_alone: -1, 0 denies on [Release::V3_5];
}

#[test]
fn the_error_code_of_an_allow_is_not_looked_at() {
    is_allowed_and_changes_nothing(MODIFY, br#"{"errCode":5001,"errMsg":"no","errDlt":"never","nextCode":0}"#);
}

#[test]
fn only_3_5_heeds_the_reply_of_an_after_callback() {
    let heeding: Vec<_> = Release::ALL.into_iter().filter(|release| release.heeds(Timing::After)).collect();
    assert_eq!(heeding, [Release::V3_5]);
    assert!(Release::ALL.into_iter().all(|release| release.heeds(Timing::Before)));
}

/// What the client reads of a denial with this code, message and detail.
fn told(release: Release, (code, message, detail): (i32, &str, &str)) -> (i32, String, String) {
    let reply = json!({"errCode": code, "errMsg": message, "errDlt": detail, "nextCode": 1}).to_string();
    match reading(MODIFY, json!({}), reply.as_bytes(), release) {
        Reading::Denied(ClientError { code, message, detail }) => (code, message, detail),
        other => panic!("{reply} is {other:?}"),
    }
}

/// A test for each way of denials on a release: what the reply says, and what the client reads.
macro_rules! denials {
    ($($name:ident: $release:ident $($reply:tt => $told:expr),+;)+) => {
        $(#[test]
        fn $name() {
            $({
                let (code, message, detail) = $told;
                assert_eq!(told(Release::$release, $reply), (code, message.to_owned(), detail.to_owned()));
            })+
        })+
    };
}

denials! {
    on_3_8_4_a_code_from_100_on_arrives_with_its_texts: V3_8_4
        (100, "no", "never") => (100, "no", "never"), (i32::MAX, "no", "") => (i32::MAX, "no", ""),
        (5001, "", "never") => (5001, "", "never");
    on_3_8_4_a_code_from_17_to_99_becomes_500: V3_8_4
        (17, "no", "never") => (500, "ServerInternalError", ""),
        (99, "no", "never") => (500, "ServerInternalError", "");
    on_3_8_4_a_code_from_1_to_16_becomes_500: V3_8_4
        (1, "no", "never") => (500, "ServerInternalError", ""), (13, "no", "") => (500, "ServerInternalError", ""),
        (15, "no", "") => (500, "ServerInternalError", ""), (16, "no", "never") => (500, "ServerInternalError", "");
    on_3_8_4_code_14_says_that_the_service_is_down: V3_8_4
        (14, "no", "never") => (500, "grpc service … down, grpc message no", "");
    on_3_8_4_code_0_is_a_success: V3_8_4 (0, "no", "never") => (0, "", "");
    on_3_8_4_a_negative_code_becomes_500: V3_8_4
        (-1, "no", "never") => (500, "ServerInternalError", ""),
        (i32::MIN, "no", "") => (500, "ServerInternalError", "");

    on_3_8_3_a_code_from_100_on_arrives_with_its_texts: V3_8_3
        (100, "no", "never") => (100, "no", "never"), (5001, "no", "") => (5001, "no", "no"),
        (5001, "", "never") => (5001, "5001  never", "never"), (5001, "", "") => (5001, "5001 ", "5001 ");
    on_3_8_3_a_code_from_17_to_99_is_as_good: V3_8_3
        (17, "no", "never") => (17, "no", "never"), (99, "no", "") => (99, "no", "no");
    on_3_8_3_a_code_from_1_to_16_is_as_good: V3_8_3
        (1, "no", "never") => (1, "no", "never"), (14, "no", "never") => (14, "no", "never"),
        (16, "no", "") => (16, "no", "no");
    on_3_8_3_code_0_becomes_500_and_keeps_its_message: V3_8_3 (0, "no", "never") => (500, "no", "never");
    on_3_8_3_a_negative_code_becomes_500: V3_8_3 (-1, "no", "never") => (500, "no", "never");

    on_3_8_a_code_from_100_on_arrives_and_the_texts_become_one: V3_8
        (100, "no", "never") => (100, "100 no never", "100 no never"), (5001, "no", "") => (5001, "5001 no", "5001 no");
    on_3_8_a_code_from_17_to_99_is_as_good: V3_8
        (17, "no", "never") => (17, "17 no never", "17 no never"), (99, "no", "") => (99, "99 no", "99 no");
    on_3_8_a_code_from_1_to_16_is_as_good: V3_8
        (1, "no", "never") => (1, "1 no never", "1 no never"), (14, "no", "") => (14, "14 no", "14 no"),
        (16, "no", "") => (16, "16 no", "16 no");
    on_3_8_code_0_becomes_500: V3_8 (0, "no", "never") => (500, "0 no never", "0 no never");
    on_3_8_a_negative_code_becomes_500: V3_8 (-1, "no", "never") => (500, "-1 no never", "-1 no never");

    on_3_7_a_code_from_100_on_arrives_and_the_texts_become_one: V3_7
        (100, "no", "never") => (100, "100 no never", "100 no never"), (5001, "no", "") => (5001, "5001 no", "5001 no");
    on_3_7_a_code_from_17_to_99_is_as_good: V3_7
        (17, "no", "never") => (17, "17 no never", "17 no never"), (99, "no", "") => (99, "99 no", "99 no");
    on_3_7_a_code_from_1_to_16_is_as_good: V3_7
        (1, "no", "never") => (1, "1 no never", "1 no never"), (14, "no", "") => (14, "14 no", "14 no"),
        (16, "no", "") => (16, "16 no", "16 no");
    on_3_7_code_0_becomes_500: V3_7 (0, "no", "never") => (500, "0 no never", "0 no never");
    on_3_7_a_negative_code_becomes_500: V3_7 (-1, "no", "never") => (500, "-1 no never", "-1 no never");

    on_3_5_a_code_from_100_on_arrives_with_its_message_and_a_longer_detail: V3_5
        (100, "no", "never") => (100, "no", "100 no never"), (5001, "no", "") => (5001, "no", "5001 no");
    on_3_5_a_code_from_17_to_99_is_as_good: V3_5
        (17, "no", "never") => (17, "no", "17 no never"), (99, "no", "") => (99, "no", "99 no");
    on_3_5_a_code_from_1_to_16_is_as_good: V3_5
        (1, "no", "never") => (1, "no", "1 no never"), (14, "no", "") => (14, "no", "14 no"),
        (16, "no", "") => (16, "no", "16 no");
    on_3_5_code_0_becomes_500: V3_5 (0, "no", "never") => (500, "no", "0 no never");
    on_3_5_a_negative_code_becomes_500: V3_5 (-1, "no", "never") => (500, "no", "-1 no never");
}

#[test]
fn a_denial_without_a_code_has_code_0() {
    let told = |release| match reading(MODIFY, json!({}), br#"{"errMsg":"no","nextCode":1}"#, release) {
        Reading::Denied(told) => told.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(Release::ALL.map(told), [500, 500, 500, 500, 0]);
}

#[test]
fn broken_text_arrives_as_replacement_characters() {
    let told = |message: &[u8]| {
        let reply = [br#"{"errCode":5001,"errDlt":"d","nextCode":1,"errMsg":""#, message, br#""}"#].concat();
        match reading(MODIFY, json!({}), &reply, Release::V3_8_4) {
            Reading::Denied(told) => told.message,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told(b"a\xffb"), "a\u{fffd}b");
    assert_eq!(told(b"\xe4\xbd"), "\u{fffd}\u{fffd}");
    assert_eq!(told(br"\ud800A"), "\u{fffd}A");
    assert_eq!(told(br"\ud800\ud800\udc00\udc00"), "\u{fffd}\u{10000}\u{fffd}");
    assert_eq!(told(br"\ud83d\ude00\u4f60"), "😀你");
}

#[test]
fn names_fold_as_unicode_does() {
    let reply = "{\"errM\u{17f}g\":\"no\",\"errcode\":5001,\"nextCode\":1,\"errDlt\":\"d\"}";
    let Reading::Denied(told) = reading(MODIFY, json!({}), reply.as_bytes(), Release::V3_8_4) else {
        panic!("{reply} does not deny")
    };
    assert_eq!((told.code, told.message.as_str()), (5001, "no"));
    let kelvin = "{\"nic\u{212a}Name\":\"Ann\"}";
    let reading = everywhere("callbackBeforeUpdateUserInfoCommand", json!({}), kelvin.as_bytes());
    assert_eq!(
        reading,
        Reading::Allowed(vec![Effect { field: "nickName", value: Some("Ann".into()), instead_of: None }])
    );
}

#[test]
fn a_server_reads_the_names_that_it_writes() {
    const CONVERSATION: &str = "callbackBeforeCreateSingleChatConversationsCommand";
    let pinned = vec![("isPinned", Some(json!(true)))];
    for (request, reply, expected) in [
        (json!({"isPinned": false}), json!({"isPinned": true}), &pinned),
        (json!({"ISPINNED": false}), json!({"isPinned": true}), &pinned),
        (json!({"is_pinned": false}), json!({"is_pinned": true}), &pinned),
        (json!({"is_pinned": false}), json!({"IS_PINNED": true}), &pinned),
        (json!({"is_pinned": false}), json!({"isPinned": true}), &Vec::new()),
        (json!({"isPinned": false}), json!({"is_pinned": true}), &Vec::new()),
        // One that leaves it out keeps to its style.
        (json!({"user_id": "u1"}), json!({"is_pinned": true}), &pinned),
        (json!({"user_id": "u1"}), json!({"isPinned": true}), &Vec::new()),
        (json!({"userId": "u1"}), json!({"isPinned": true}), &pinned),
    ] {
        assert_eq!(effects(CONVERSATION, request.clone(), reply.clone()), *expected, "{reply} to {request}");
    }
}

#[test]
fn a_change_replaces_when_it_is_there() {
    let request = json!({"senderNickname": "Ann", "senderPlatformID": 2, "ex": "x"});
    assert_eq!(
        effects(MODIFY, request.clone(), json!({"senderNickname": "Anna", "senderPlatformID": 0, "ex": null})),
        [("senderPlatformID", Some(json!(0))), ("senderNickname", Some(json!("Anna")))]
    );
    assert_eq!(effects(MODIFY, request, json!({"ex": ""})), [("ex", Some(json!("")))]);
}

#[test]
fn a_change_to_the_same_value_is_none() {
    let request = json!({"senderNickname": "\u{4f60}<", "senderPlatformID": 2, "seq": 0});
    let reply = r#"{"senderNickname":"\u4f60\u003c","senderPlatformID":2}"#;
    assert_eq!(everywhere(MODIFY, request, reply.as_bytes()), Reading::Allowed(Vec::new()));
}

#[test]
fn a_change_that_no_request_shows_is_always_one() {
    let reply = json!({"recvID": "u9", "senderFaceURL": "", "attachedInfo": "", "options": {"history": true}});
    let changed: Vec<_> = effects(MODIFY, json!({"faceURL": ""}), reply).into_iter().map(|(field, _)| field).collect();
    assert_eq!(changed, ["recvID", "senderFaceURL", "options", "attachedInfo"]);
}

#[test]
fn what_is_echoed_is_lost_where_the_reply_has_nothing() {
    let request =
        json!({"groupID": "g1", "groupName": "Team", "introduction": null, "faceURL": "", "needVerification": 0});
    let lost = [("groupID", None), ("groupName", None), ("faceURL", None), ("needVerification", None)];
    assert_eq!(effects(GROUP_INFO_EX, request.clone(), json!({})), lost);
    assert_eq!(effects(GROUP_INFO_EX, request.clone(), json!({"groupID": null, "groupName": null})), lost);
    assert_eq!(effects(GROUP_INFO_EX, request.clone(), json!({"groupInfoForSet": request})), lost);
}

#[test]
fn what_is_echoed_stays_where_the_reply_has_it() {
    let request =
        json!({"groupID": "g1", "groupName": "Team", "introduction": null, "faceURL": "", "needVerification": 0});
    assert_eq!(effects(GROUP_INFO_EX, request.clone(), request.clone()), []);
    let mut reply = request.clone();
    reply["introduction"] = json!("hello");
    assert_eq!(effects(GROUP_INFO_EX, request.clone(), reply.clone()), [("introduction", Some(json!("hello")))]);
    reply["groupID"] = json!("g2");
    let both = [("groupID", Some(json!("g2"))), ("introduction", Some(json!("hello")))];
    assert_eq!(effects(GROUP_INFO_EX, request, reply), both);
}

#[test]
fn a_text_that_is_empty_anyway_is_not_lost() {
    let request = json!({"groupID": "g1", "groupName": "", "introduction": "", "faceURL": "u"});
    let reply = json!({"groupID": "g1"});
    assert_eq!(effects("callbackBeforeSetGroupInfoCommand", request, reply), [("faceURL", None)]);
}

#[test]
fn a_list_replaces_only_when_it_has_an_entry() {
    let command = "callbackBeforeImportFriendsCommand";
    let request = json!({"friendUserIDs": ["u2", "u3"]});
    let of = |list: Value| effects(command, request.clone(), json!({"friendUserIDs": list}));
    assert_eq!(of(json!([])), []);
    assert_eq!(of(Value::Null), []);
    assert_eq!(of(json!(["u2", "u3"])), []);
    assert_eq!(of(json!(["u3", "u2"])), [("friendUserIDs", Some(json!(["u3", "u2"])))]);
    assert_eq!(of(json!([null])), [("friendUserIDs", Some(json!([""])))]);
    let members = "callbackBeforeMembersJoinGroupCommand";
    assert_eq!(effects(members, json!({}), json!({"memberCallbackList": []})), []);
}

#[test]
fn a_list_behind_a_pointer_replaces_when_it_is_empty_too() {
    assert_eq!(
        effects(MODIFY, json!({"atUserList": ["u1"]}), json!({"atUserIDList": [], "options": {}})),
        [("options", Some(json!({}))), ("atUserIDList", Some(json!([])))]
    );
}

#[test]
fn an_object_replaces_as_a_whole() {
    let request = json!({"sessionType": 1, "title": "t", "desc": "d", "iOSBadgeCount": true});
    let whole =
        json!({"title": "T", "desc": "", "ex": "", "iOSPushSound": "", "iOSBadgeCount": false, "signalInfo": ""});
    let reply = json!({"offlinePushInfo": {"TITLE": "T", "desc": null, "sound": 1}});
    assert_eq!(effects(PUSH, request, reply), [("offlinePushInfo", Some(whole))]);
}

#[test]
fn a_batch_that_says_the_same_is_no_change() {
    let user =
        json!({"userID": "u1", "nickname": "Dee", "faceURL": "", "ex": "", "createTime": 0, "appMangerLevel": 0});
    let request = json!({"users": [user]});
    assert_eq!(effects(REGISTER, request.clone(), json!({"users": [{"userID": "u1", "nickname": "Dee"}]})), []);
    let changed = effects(REGISTER, request, json!({"users": [{"userID": "u1", "nickname": "Dee D."}]}));
    assert_eq!(changed.len(), 1);
}

/// Asserts that a reply does harm by this field, on these releases and no others.
fn harms(command: &str, request: Value, reply: Value, by: &str, on: &[Release]) {
    for release in Release::ALL {
        let reading = reading(command, request.clone(), reply.to_string().as_bytes(), release);
        match &reading {
            Reading::Harmful { field, why } => assert!(on.contains(&release) && *field == by && !why.is_empty()),
            Reading::Allowed(_) => assert!(!on.contains(&release), "{reply} is {reading:?} on {}", release.as_str()),
            other => panic!("{reply} is {other:?}"),
        }
    }
}

#[test]
fn a_null_entry_in_a_list_of_objects_harms() {
    harms(REGISTER, json!({}), json!({"users": [null]}), "users", &Release::ALL);
    harms(REGISTER, json!({}), json!({"users": [{"userID": "u"}, null]}), "users", &Release::ALL);
    let members = "callbackBeforeMembersJoinGroupCommand";
    harms(members, json!({}), json!({"memberCallbackList": [null]}), "memberCallbackList", &Release::ALL);
}

#[test]
fn an_entry_without_its_user_harms() {
    let members = "callbackBeforeMembersJoinGroupCommand";
    for entry in [json!({"nickname": "Cid"}), json!({"userID": null}), json!({"userID": ""})] {
        harms(members, json!({}), json!({"memberCallbackList": [entry]}), "memberCallbackList", &Release::ALL);
        harms(REGISTER, json!({}), json!({"users": [entry]}), "users", &Release::ALL);
    }
    harms(members, json!({}), json!({"memberCallbackList": [{"userID": "u"}]}), "memberCallbackList", &[]);
}

#[test]
fn a_change_of_what_the_request_lacks_harms_where_it_must_be_there() {
    let command = "callbackBeforeUpdateUserInfoExCommand";
    let request = json!({"nickName": "Ann", "faceURL": null});
    harms(command, request.clone(), json!({"faceURL": "u"}), "faceURL", &Release::ALL);
    harms(command, json!({}), json!({"nickName": ""}), "nickName", &Release::ALL);
    harms(command, request, json!({"nickName": "Anna", "faceURL": null}), "nickName", &[]);
}

#[test]
fn a_content_that_is_no_object_harms_3_8_4() {
    for content in ["hi", "", "[]", "\"hi\"", "1", "{", "{}{}"] {
        harms(MODIFY, json!({}), json!({"content": content}), "content", &[Release::V3_8_4]);
    }
    for content in ["{}", r#"{"content":"hi"}"#, " {} ", "null"] {
        harms(MODIFY, json!({}), json!({"content": content}), "content", &[]);
    }
}

#[test]
fn a_list_of_receivers_harms_where_the_request_forbids_it() {
    let list = json!({"userIDList": ["u9"]});
    harms(PUSH, json!({"sessionType": 1}), list.clone(), "userIDList", &Release::ALL);
    harms(PUSH, json!({"sessionType": 1, "userIDList": ["u9"]}), list.clone(), "userIDList", &Release::ALL);
    harms(PUSH, json!({"sessionType": 3}), list.clone(), "userIDList", &[]);
    harms(PUSH, json!({"sessionType": 1}), json!({"userIDList": []}), "userIDList", &[]);
    let group = "callbackBeforeGroupOnlinePushCommand";
    for content_type in [1504, 1508, 1511] {
        harms(group, json!({"contentType": content_type}), list.clone(), "userIDList", &Release::ALL);
    }
    harms(group, json!({"contentType": 101}), list, "userIDList", &[]);
}
