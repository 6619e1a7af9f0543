//! Answers that hookgate and OpenIM take, and that a policy has hardly meant.

use hookgate::contract::proto::{self, Denial};
use prost_reflect::prost::Message;

use super::policy::{Behave, at_once, bad_at};
use super::{named, verify};

/// A policy's answer to a callback, the warning about it, and words of that.
struct Odd {
    at: &'static str,
    answer: Behave,
    /// The check that shows it.
    check: &'static str,
    /// Empty if there is nothing to warn of.
    fault: &'static str,
    words: &'static [&'static str],
}

/// A rewrite of the content of each message.
fn content(rewrite: impl Fn(&proto::ChatMessage) -> (String, Option<i32>) + Send + Sync + 'static) -> Behave {
    at_once(move |call| {
        let request = proto::BeforeMsgModifyRequest::decode(&*call.message).unwrap();
        let (content, content_type) = rewrite(&request.message.unwrap_or_default());
        let content = Some(content).filter(|content| !content.is_empty());
        Ok(proto::BeforeMsgModifyResponse { content, content_type, ..Default::default() }.encode_to_vec())
    })
}

fn always(response: impl Message) -> Behave {
    let response = response.encode_to_vec();
    at_once(move |_| Ok(response.clone()))
}

/// A denial of messages of this content type; of all for 0.
fn denies(content_type: i32) -> Behave {
    at_once(move |call| {
        let request = proto::BeforeGroupOnlinePushRequest::decode(&*call.message).unwrap_or_default();
        let is_denied =
            content_type == 0 || request.message.is_some_and(|message| message.content_type == content_type);
        let denial = Denial { code: 5001, message: "no".to_owned(), detail: String::new() };
        let response = proto::BeforeGroupOnlinePushResponse { denial: Some(denial), ..Default::default() };
        Ok(if is_denied { response.encode_to_vec() } else { Vec::new() })
    })
}

fn users(copy: impl Fn(&proto::UserInfo) -> proto::NewUser + Send + Sync + 'static) -> Behave {
    at_once(move |call| {
        let request = proto::BeforeUserRegisterRequest::decode(&*call.message).unwrap();
        let users = Some(proto::NewUserList { users: request.users.iter().map(&copy).collect() });
        Ok(proto::BeforeUserRegisterResponse { users, ..Default::default() }.encode_to_vec())
    })
}

fn odd() -> Vec<Odd> {
    let odd = |at, answer, check, fault, words| Odd { at, answer, check, fault, words };
    let modify = "BeforeMsgModify";
    let (content_fault, emptied) = ("content of another type", "a change to an empty value");
    let (dropped, damage) = ("a change that drops values", "a denial that damages OpenIM");
    let text = || r#"{"content":"***"}"#.to_owned();
    vec![
        odd(
            modify,
            content(|_| (r#"{"text":"***"}"#.to_owned(), None)),
            "lifelike",
            content_fault,
            &["content has text and no content, which is not contentType 101 (text)"],
        ),
        odd(
            modify,
            content(move |_| (text(), None)),
            "content-types",
            content_fault,
            &["contentType 102: content has no sourcePicture", "contentType 106: content has content and no text"],
        ),
        odd(modify, content(move |_| (text(), Some(101))), "content-types", "", &[]),
        odd(
            modify,
            content(|_| (String::new(), Some(110))),
            "lifelike",
            content_fault,
            &["content has content and no data, which is not contentType 110 (custom)"],
        ),
        // Go reads names in any case, and so does OpenIM's own markdown.
        odd(modify, content(|_| (r#"{"Content":"***"}"#.to_owned(), None)), "lifelike", "", &[]),
        odd(
            modify,
            always(proto::BeforeMsgModifyResponse { sender_nickname: Some(String::new()), ..Default::default() }),
            "lifelike",
            emptied,
            &["senderNickname becomes empty, though the request has a value"],
        ),
        odd(
            modify,
            always(proto::BeforeMsgModifyResponse {
                attached_info: Some(String::new()),
                options: Some(proto::MessageOptions::default()),
                ..Default::default()
            }),
            "lifelike",
            emptied,
            &["attachedInfo becomes empty", "options becomes empty, whatever OpenIM has"],
        ),
        odd(
            "BeforeSetGroupInfo",
            at_once(|call| {
                let request = proto::BeforeSetGroupInfoRequest::decode(&*call.message).unwrap();
                let need_verification = Some(request.need_verification);
                Ok(proto::BeforeSetGroupInfoResponse { need_verification, ..Default::default() }.encode_to_vec())
            }),
            "lifelike",
            emptied,
            &["needVerification is set to 0, where the request may mean"],
        ),
        odd(
            "BeforeSetGroupInfo",
            always(proto::BeforeSetGroupInfoResponse { ex: Some(String::new()), ..Default::default() }),
            "lifelike",
            emptied,
            &["ex is set to \"\""],
        ),
        // A list may be emptied where the contract says so.
        odd(
            modify,
            always(proto::BeforeMsgModifyResponse {
                at_user_id_list: Some(proto::UserIdList::default()),
                ..Default::default()
            }),
            "lifelike",
            "",
            &[],
        ),
        odd(
            "BeforeUserRegister",
            users(|user| proto::NewUser { user_id: user.user_id.clone(), ..Default::default() }),
            "lifelike",
            dropped,
            &["users[0] loses nickname"],
        ),
        odd(
            "BeforeUserRegister",
            users(|user| proto::NewUser {
                user_id: user.user_id.clone(),
                nickname: user.nickname.clone(),
                face_url: user.face_url.clone(),
                ex: user.ex.clone(),
                app_manger_level: user.app_manger_level,
                global_recv_msg_opt: user.global_recv_msg_opt,
            }),
            "lifelike",
            "",
            &[],
        ),
        odd(
            "BeforeOfflinePush",
            always(proto::BeforeOfflinePushResponse {
                offline_push_info: Some(proto::OfflinePushInfo { title: "a message".to_owned(), ..Default::default() }),
                ..Default::default()
            }),
            "lifelike",
            dropped,
            &["offlinePushInfo loses desc"],
        ),
        odd("BeforeGroupOnlinePush", denies(1504), "must-allow", damage, &["contentType 1504: a denial: OpenIM skips"]),
        odd("BeforeGroupOnlinePush", denies(1511), "must-allow", damage, &["members stay in the dismissed group"]),
        odd("BeforeGroupOnlinePush", denies(101), "lifelike", "", &[]),
        odd(
            "BeforeCreateSingleChatConversations",
            denies(0),
            "lifelike",
            damage,
            &["asks once in a conversation's life"],
        ),
        odd("BeforeCreateGroupChatConversations", denies(0), "empty", "", &[]),
    ]
}

#[tokio::test]
async fn what_is_hardly_meant_is_warned_of_and_no_failure() {
    for Odd { at, answer, check, fault, words } in odd() {
        let policy = bad_at(at, answer).await;
        let args = ["--policy", &policy.url(), "--only", &format!("{at},{check}"), "--json"];
        let ended = verify(&args).await;
        let report = ended.json();
        let found = named(&report["callbacks"][0]["checks"], "name", check);
        let (outcome, message) = (found["outcome"].as_str().unwrap(), found["message"].as_str().unwrap_or_default());
        assert_eq!(outcome, if fault.is_empty() { "passed" } else { "warning" }, "{at} {check}: {found:#}");
        assert_eq!(found["fault"].as_str().unwrap_or_default(), fault, "{found:#}");
        assert!(words.iter().all(|word| message.contains(word)), "{at} {check}: {found:#}");
        assert_eq!(ended.code, 0, "warnings are no failures");
    }
}

/// A policy that copies the lists of its requests is not to blame for lists that OpenIM never sends empty.
#[tokio::test]
async fn a_policy_that_copies_the_request_back_is_not_blamed_for_impossible_requests() {
    let friends = at_once(|call| {
        let request = proto::BeforeImportFriendsRequest::decode(&*call.message).unwrap();
        let friend_user_ids = Some(proto::UserIdList { user_ids: request.friend_user_ids });
        Ok(proto::BeforeImportFriendsResponse { friend_user_ids, ..Default::default() }.encode_to_vec())
    });
    let policy = bad_at("BeforeImportFriends", friends).await;
    let ended = verify(&["--policy", &policy.url(), "--only", "beforeImportFriends"]).await;
    assert_eq!(ended.code, 0, "{}", ended.out);
    let note = "note: empty: the change of friendUserIDs must not be empty, which is no fault";
    assert!(ended.out.contains(note) && ended.out.contains("9 checks\n"), "{}", ended.out);
}
