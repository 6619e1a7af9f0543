//! The traps in how OpenIM uses replies. For each: a bare allow changes nothing, a legal change changes only itself,
//! and what would lose, break or crash something cannot leave, whatever a policy says. Over real sockets, and read as
//! every release of OpenIM reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hookgate::contract::{self, Callback};
use hookgate::openim::{ClientError, Reading, Release, read};
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};

use crate::support::{self, Gate, Policy, method};

/// A lifelike request of a callback: what the first story of its fixture sends.
fn example(callback: &Callback) -> Value {
    serde_json::from_str(callback.example).expect("a fixture is JSON")
}

/// hookgate between OpenIM and a policy service that says what the test says.
struct Between {
    gate: Gate,
    says: Arc<Mutex<Vec<u8>>>,
    _policy: Policy,
}

impl Between {
    async fn start() -> Self {
        let says = Arc::new(Mutex::new(Vec::new()));
        let said = says.clone();
        let policy = Policy::start(move |_| Ok(said.lock().expect("no panic while held").clone())).await;
        Self { gate: Gate::start(&policy.url()).await, says, _policy: policy }
    }

    /// The reply to a request, when the policy says this.
    async fn reply(&self, command: &str, request: &Value, says: Vec<u8>) -> support::Reply {
        *self.says.lock().expect("no panic while held") = says;
        self.gate.post(&format!("/{command}"), request.to_string()).await
    }
}

/// One callback with a trap.
struct Trap {
    between: Between,
    callback: &'static Callback,
    request: Value,
}

impl Trap {
    async fn of(command: &str) -> Self {
        let callback = Callback::by_command(command).expect("in the table");
        Self { between: Between::start().await, callback, request: example(callback) }
    }

    /// From here on the request has these fields too, in place of its own.
    fn sends(&mut self, fields: Value) {
        let request = self.request.as_object_mut().expect("an object");
        request.extend(fields.as_object().expect("an object").clone());
    }

    fn response(&self) -> MessageDescriptor {
        method(self.callback.rpc).output()
    }

    async fn reply(&self, says: &Value) -> Bytes {
        self.whole_reply(says).await.body
    }

    async fn whole_reply(&self, says: &Value) -> support::Reply {
        let response = DynamicMessage::deserialize(self.response(), says).expect("the rpc's response message");
        self.between.reply(self.callback.command, &self.request, response.encode_to_vec()).await
    }

    /// What the policy says is an allow that changes exactly these fields to these values, on every release.
    async fn changes(&self, says: Value, fields: Value) {
        let reply = self.reply(&says).await;
        for release in Release::ALL {
            let reading = read(self.callback, self.request.to_string().as_bytes(), &reply, release);
            let Reading::Allowed(effects) = reading else { panic!("{says} is {reading:?} on {}", release.as_str()) };
            let effects: BTreeMap<_, _> = effects.into_iter().map(|effect| (effect.field, effect.value)).collect();
            assert_eq!(json!(effects), fields, "{says} on {}", release.as_str());
        }
    }

    /// What the policy says is an allow that changes the fields that it names, to what it says, and nothing else.
    async fn changes_only(&self, says: Value) {
        self.changes(says.clone(), says).await;
    }

    /// An empty answer changes nothing.
    async fn bare_allow_changes_nothing(&self) {
        self.changes(json!({}), json!({})).await;
    }

    /// An empty answer has none of these fields in its reply.
    async fn bare_allow_leaves_out(&self, fields: &[&str]) {
        let reply: Value = serde_json::from_slice(&self.reply(&json!({})).await).expect("JSON");
        for field in fields {
            assert_eq!(reply.get(field), None, "{reply}");
        }
    }

    /// Asserts that the policy's response is an invalid reply, which denies, or allows without a change where the
    /// contract says so.
    async fn refuses(&self, says: Value) {
        let reply = self.whole_reply(&says).await;
        let sentence = "the policy service gave an invalid reply";
        let (outcome, code, sentence, next) = match self.callback.fails_open {
            true => ("failed-open:invalid_reply", 0, "", 0),
            false => ("failed-closed:invalid_reply", 5000, sentence, 1),
        };
        assert_eq!(reply.headers["hookgate-outcome"], outcome, "{says}");
        assert_eq!(
            serde_json::from_slice::<Value>(&reply.body).expect("JSON"),
            json!({"actionCode": 0, "errCode": code, "errMsg": sentence, "errDlt": sentence, "nextCode": next}),
            "{says}"
        );
    }

    /// A policy has no way to say these fields.
    fn never_offers(&self, fields: &[&str]) {
        let response = self.response();
        for field in fields {
            let offered = response.fields().any(|offered| offered.json_name().eq_ignore_ascii_case(field));
            assert!(!offered, "{} offers {field}", response.full_name());
        }
    }
}

#[tokio::test]
async fn set_group_info_loses_what_a_reply_does_not_hand_back() {
    let mut trap = Trap::of("callbackBeforeSetGroupInfoCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.sends(json!({"groupName": "Team", "faceURL": "u", "introduction": "hello", "notification": "n"}));
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"groupName": "Team C"})).await;
    trap.changes_only(json!({"faceURL": "v", "introduction": "hi"})).await;
    trap.changes_only(json!({"ex": "x", "needVerification": 1, "lookMemberInfo": 1, "applyMemberFriend": 1})).await;
    for lost in ["groupName", "faceURL", "introduction"] {
        trap.refuses(json!({lost: ""})).await;
    }
    trap.never_offers(&["groupID", "notification"]);
}

#[tokio::test]
async fn set_group_info_stores_what_a_reply_only_hands_back_so_the_unset_is_left_out() {
    let trap = Trap::of("callbackBeforeSetGroupInfoCommand").await;
    trap.bare_allow_leaves_out(&["ex", "needVerification", "lookMemberInfo", "applyMemberFriend"]).await;
}

#[tokio::test]
async fn set_group_info_ex_loses_all_that_a_reply_does_not_hand_back() {
    let mut trap = Trap::of("callbackBeforeSetGroupInfoExCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.sends(json!({"groupName": null, "introduction": null, "faceURL": null, "ex": null}));
    trap.sends(json!({"needVerification": null, "lookMemberInfo": null, "applyMemberFriend": null}));
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"introduction": "hi"})).await;
    trap.changes_only(json!({"needVerification": 0})).await;
    trap.sends(json!({"groupName": "", "introduction": "i", "faceURL": "", "ex": "x"}));
    trap.sends(json!({"needVerification": 0, "lookMemberInfo": 0, "applyMemberFriend": 1}));
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"groupName": "Team", "ex": "", "applyMemberFriend": 0})).await;
    trap.refuses(json!({"needVerification": 3})).await;
    trap.never_offers(&["groupID", "notification"]);
}

#[tokio::test]
async fn members_join_group_crashes_over_an_entry_without_a_user() {
    let trap = Trap::of("callbackBeforeMembersJoinGroupCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"memberCallbackList": [{"userID": "u1003", "nickname": "Cid", "roleLevel": 60}]})).await;
    trap.changes_only(json!({"memberCallbackList": [{"userID": "stranger", "ex": ""}]})).await;
    trap.refuses(json!({"memberCallbackList": [{}]})).await;
    trap.refuses(json!({"memberCallbackList": [{"userID": "u1003"}, {"nickname": "Cid"}]})).await;
}

#[tokio::test]
async fn update_user_info_ex_writes_through_nil_where_the_request_has_no_such_field() {
    let mut trap = Trap::of("callbackBeforeUpdateUserInfoExCommand").await;
    trap.sends(json!({"nickName": "Ann", "faceURL": null, "ex": null}));
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"nickName": "Anna"})).await;
    trap.changes_only(json!({"nickName": ""})).await;
    trap.refuses(json!({"faceURL": "u"})).await;
    trap.refuses(json!({"nickName": "Anna", "faceURL": ""})).await;
    trap.sends(json!({"nickName": null, "faceURL": ""}));
    trap.changes_only(json!({"faceURL": "u"})).await;
    trap.refuses(json!({"nickName": "Ann"})).await;
    trap.request.as_object_mut().expect("an object").remove("nickName");
    trap.refuses(json!({"nickName": "Ann"})).await;
    trap.never_offers(&["ex"]);
}

#[tokio::test]
async fn msg_modify_fails_over_a_content_that_is_no_object() {
    let trap = Trap::of("callbackBeforeMsgModifyCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"content": r#"{"content":"hi"}"#})).await;
    for content in ["Modified content", "", "[]", "null", "\"{}\"", "{", "{}{}", "{} x"] {
        trap.refuses(json!({"content": content})).await;
    }
}

#[tokio::test]
async fn msg_modify_checks_nothing_again() {
    let trap = Trap::of("callbackBeforeMsgModifyCommand").await;
    trap.changes_only(json!({"senderNickname": "Anna", "senderPlatformID": 5, "recvID": "u1"})).await;
    for lost in ["recvID", "groupID", "clientMsgID", "serverMsgID"] {
        trap.refuses(json!({lost: ""})).await;
    }
}

#[tokio::test]
async fn msg_modify_writes_push_info_through_nil_and_ignores_a_list_of_messages() {
    let trap = Trap::of("callbackBeforeMsgModifyCommand").await;
    trap.never_offers(&["offlinePushInfo", "msgDataList"]);
}

#[tokio::test]
async fn user_register_takes_any_batch() {
    let trap = Trap::of("callbackBeforeUserRegisterCommand").await;
    trap.bare_allow_changes_nothing().await;
    let user = json!({"userID": "u2001", "nickname": "Dee D."});
    let whole = json!({
        "userID": "u2001", "nickname": "Dee D.", "faceURL": "", "ex": "", "appMangerLevel": 0, "globalRecvMsgOpt": 0
    });
    trap.changes(json!({"users": {"users": [user]}}), json!({"users": [whole]})).await;
    trap.refuses(json!({"users": {"users": [{}]}})).await;
    trap.refuses(json!({"users": {"users": [user, {"nickname": "Dee"}]}})).await;
    trap.refuses(json!({"users": {}})).await;
}

#[tokio::test]
async fn offline_push_ends_the_process_over_receivers_in_a_single_chat() {
    let mut trap = Trap::of("callbackBeforeOfflinePushCommand").await;
    let receivers = json!({"userIDList": {"userIds": ["u7", "u8"]}});
    for session_type in [1, 4, 0] {
        trap.sends(json!({"sessionType": session_type, "userIDList": ["u1"]}));
        trap.bare_allow_changes_nothing().await;
        trap.refuses(receivers.clone()).await;
        trap.refuses(json!({"userIDList": {"userIds": ["u1"]}})).await;
    }
    trap.sends(json!({"sessionType": 3}));
    trap.bare_allow_changes_nothing().await;
    trap.changes(receivers, json!({"userIDList": ["u7", "u8"]})).await;
    trap.refuses(json!({"userIDList": {}})).await;
}

#[tokio::test]
async fn offline_push_replaces_the_push_info_as_a_whole() {
    let trap = Trap::of("callbackBeforeOfflinePushCommand").await;
    let whole = json!({
        "title": "T", "desc": "", "ex": "", "iOSPushSound": "", "iOSBadgeCount": true, "signalInfo": ""
    });
    let says = json!({"offlinePushInfo": {"title": "T", "iOSBadgeCount": true}});
    trap.changes(says, json!({"offlinePushInfo": whole})).await;
}

#[tokio::test]
async fn online_push_ignores_receivers_and_push_info() {
    let trap = Trap::of("callbackBeforeOnlinePushCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.never_offers(&["userIDList", "offlinePushInfo"]);
}

#[tokio::test]
async fn group_online_push_skips_its_own_work_where_it_gets_receivers() {
    let mut trap = Trap::of("callbackBeforeGroupOnlinePushCommand").await;
    let receivers = json!({"userIDList": {"userIds": ["u7"]}});
    for content_type in [1504, 1508, 1511] {
        trap.sends(json!({"contentType": content_type}));
        trap.bare_allow_changes_nothing().await;
        trap.refuses(receivers.clone()).await;
    }
    for content_type in [101, 1503, 1509] {
        trap.sends(json!({"contentType": content_type}));
        trap.changes(receivers.clone(), json!({"userIDList": ["u7"]})).await;
    }
    trap.refuses(json!({"userIDList": {}})).await;
    trap.never_offers(&["offlinePushInfo"]);
}

#[tokio::test]
async fn set_friend_remark_clears_the_remark_or_keeps_it_where_a_reply_has_none() {
    let mut trap = Trap::of("callbackBeforeSetFriendRemarkCommand").await;
    trap.sends(json!({"remark": "Bob <work> 你好"}));
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"remark": "Bob"})).await;
    trap.refuses(json!({"remark": ""})).await;
    trap.sends(json!({"remark": ""}));
    trap.bare_allow_changes_nothing().await;
}

#[tokio::test]
async fn invite_join_group_ignores_refused_members() {
    let trap = Trap::of("callbackBeforeInviteJoinGroupCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.never_offers(&["refusedMembersAccount", "invitedUserIDs"]);
}

#[tokio::test]
async fn import_friends_cannot_be_emptied() {
    let trap = Trap::of("callbackBeforeImportFriendsCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.changes(json!({"friendUserIDs": {"userIds": ["u1002"]}}), json!({"friendUserIDs": ["u1002"]})).await;
    trap.refuses(json!({"friendUserIDs": {}})).await;
}

#[tokio::test]
async fn create_group_stores_what_it_has_checked_before() {
    let trap = Trap::of("callbackBeforeCreateGroupCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"groupName": "Team A (checked)", "ex": "{\"tier\":1}", "needVerification": 2})).await;
    trap.changes(json!({"groupType": 2, "status": 0}), json!({})).await;
    trap.refuses(json!({"groupType": 1})).await;
    trap.refuses(json!({"status": 4})).await;
    trap.refuses(json!({"needVerification": -1})).await;
    trap.refuses(json!({"groupName": ""})).await;
    trap.refuses(json!({"creatorUserID": ""})).await;
    trap.never_offers(&["ownerUserID", "applyMemberFriend", "initMemberList"]);
}

#[tokio::test]
async fn a_reply_could_grant_any_role() {
    let trap = Trap::of("callbackBeforeSetGroupMemberInfoCommand").await;
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"nickName": "Cid."})).await;
    trap.changes_only(json!({"roleLevel": 60, "faceURL": "u"})).await;
    let one = Trap::of("callbackBeforeMemberJoinGroupCommand").await;
    one.bare_allow_changes_nothing().await;
    one.changes(
        json!({"roleLevel": 20, "muteEndTime": i64::MAX.to_string()}),
        json!({"roleLevel": 20, "muteEndTime": i64::MAX}),
    )
    .await;
    let many = Trap::of("callbackBeforeMembersJoinGroupCommand").await;
    for role in [100, 0, 21, -60] {
        trap.refuses(json!({"roleLevel": role})).await;
        one.refuses(json!({"roleLevel": role})).await;
        many.refuses(json!({"memberCallbackList": [{"userID": "u1001", "roleLevel": role}]})).await;
    }
}

#[tokio::test]
async fn the_conversation_callbacks_change_one_side_for_both() {
    let single = Trap::of("callbackBeforeCreateSingleChatConversationsCommand").await;
    let group = Trap::of("callbackBeforeCreateGroupChatConversationsCommand").await;
    for trap in [single, group] {
        trap.bare_allow_changes_nothing().await;
        trap.changes_only(json!({"isPinned": true, "recvMsgOpt": 2})).await;
        trap.changes_only(json!({"attachedInfo": "a"})).await;
        trap.never_offers(&["ownerUserId", "conversationId", "userId", "groupId"]);
    }
}

#[tokio::test]
async fn a_change_has_the_name_that_the_request_used() {
    let mut trap = Trap::of("callbackBeforeCreateSingleChatConversationsCommand").await;
    // OpenIM's own releases have no such field, so that the change would be lost.
    trap.refuses(json!({"isMarked": true})).await;
    trap.sends(json!({"isMarked": false}));
    trap.changes_only(json!({"isMarked": true})).await;
    let enterprise = json!({"owner_user_id": "u1", "is_pinned": false, "is_marked": null, "RECV_MSG_OPT": 0, "ex": ""});
    trap.request = enterprise;
    trap.bare_allow_changes_nothing().await;
    trap.changes_only(json!({"isPinned": true, "ex": "x", "recvMsgOpt": 2, "burnDuration": 30})).await;
    trap.refuses(json!({"isMarked": true})).await;
    let reply = trap.reply(&json!({"isPinned": true, "ex": "x", "recvMsgOpt": 2, "burnDuration": 30})).await;
    let reply: BTreeMap<String, Value> = serde_json::from_slice(&reply).expect("an object");
    let names: Vec<_> = reply.keys().map(String::as_str).collect();
    let expected = "actionCode burn_duration errCode errDlt errMsg ex is_pinned nextCode recv_msg_opt";
    assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
}

#[test]
fn the_conversation_callbacks_know_the_names_of_the_enterprise_edition() {
    let names = json!({
        "owner_user_id": "u1", "conversation_id": "c1", "conversation_type": 1, "recv_msg_opt": 2, "is_pinned": true,
        "is_marked": true, "is_private_chat": true, "burn_duration": 3, "group_at_type": 4, "attached_info": "a", "ex": "x",
    });
    let rows = Callback::all().iter().filter(|row| row.rpc.contains(".ConversationPolicyService/"));
    let mut count = 0;
    for callback in rows {
        let mut body = names.clone();
        let peer = if callback.method().contains("Single") { "user_id" } else { "group_id" };
        body[peer] = "p1".into();
        let body = body.to_string();
        let (message, drift) = contract::transcode(callback.request, callback.command, body.as_bytes()).unwrap();
        assert_eq!(drift.unknown.paths, [""; 0], "{}", callback.method());
        let message = DynamicMessage::decode(method(callback.rpc).input(), message).unwrap();
        let read = message.to_string();
        for field in body.trim_matches(['{', '}']).split(',') {
            let (name, value) = field.split_once(':').unwrap();
            let said = format!("{}:{value}", name.trim_matches('"'));
            assert!(read.contains(&said), "{}: {said} is not in {read}", callback.method());
        }
        count += 1;
    }
    assert_eq!(count, 4);
}

#[tokio::test]
async fn an_echo_finds_its_field_in_any_case() {
    let mut trap = Trap::of("callbackBeforeSetGroupInfoExCommand").await;
    trap.request = json!({"groupid": "g1", "GROUPNAME": "Team", "Ex": "x"});
    let reply: Value = serde_json::from_slice(&trap.reply(&json!({})).await).expect("JSON");
    assert_eq!((&reply["groupID"], &reply["groupName"], &reply["ex"]), (&json!("g1"), &json!("Team"), &json!("x")));
    trap.bare_allow_changes_nothing().await;
}

#[tokio::test]
async fn an_empty_list_replaces_only_the_mentions_and_the_options_of_a_message() {
    let mut trap = Trap::of("callbackBeforeMsgModifyCommand").await;
    trap.sends(json!({"atUserList": ["u1003"]}));
    trap.bare_allow_changes_nothing().await;
    trap.changes(json!({"atUserIDList": {}}), json!({"atUserIDList": []})).await;
    trap.changes(json!({"atUserIDList": {"userIds": ["u1"]}}), json!({"atUserIDList": ["u1"]})).await;
    trap.changes(json!({"options": {}}), json!({"options": {}})).await;
    trap.changes(json!({"options": {"options": {"history": false}}}), json!({"options": {"history": false}})).await;
}

#[tokio::test]
async fn a_bare_allow_of_any_callback_changes_nothing_on_any_release() {
    let between = Between::start().await;
    for callback in Callback::all() {
        let request = example(callback);
        let reply = between.reply(callback.command, &request, Vec::new()).await.body;
        for release in Release::ALL {
            let reading = read(callback, request.to_string().as_bytes(), &reply, release);
            let command = callback.command;
            assert_eq!(reading, Reading::Allowed(Vec::new()), "{command} on {}: {reply:?}", release.as_str());
        }
    }
}

#[tokio::test]
async fn an_odd_denial_of_any_callback_denies_with_a_code_and_words_on_every_release() {
    let between = Between::start().await;
    let odd = [
        json!({}),
        json!({"code": 0, "message": "no", "detail": "never"}),
        json!({"code": 1, "message": "no"}),
        json!({"code": 99, "detail": "never"}),
        json!({"code": -5, "message": "no", "detail": "never"}),
        json!({"code": 5001, "message": ""}),
    ];
    for callback in Callback::all() {
        let request = example(callback);
        for denial in &odd {
            let says = json!({"denial": denial});
            let response = DynamicMessage::deserialize(method(callback.rpc).output(), &says).expect("has a denial");
            let reply = between.reply(callback.command, &request, response.encode_to_vec()).await.body;
            for release in Release::ALL {
                let reading = read(callback, request.to_string().as_bytes(), &reply, release);
                let Reading::Denied(ClientError { code, message, detail }) = &reading else {
                    panic!("{says} to {} is {reading:?} on {}", callback.command, release.as_str())
                };
                assert!(*code >= 100 && !message.is_empty() && !detail.is_empty(), "{says} is {reading:?}");
            }
        }
    }
}
