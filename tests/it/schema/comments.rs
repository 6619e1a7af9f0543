//! Facts about OpenIM that a policy author trips over: each stands in the comment of the place where it happens.

use hookgate::contract::{Callback, Timing};
use prost_reflect::FileDescriptor;

use super::PACKAGE;
use crate::support::CONTRACT;

/// Places of the contract, and words that their comments have: what was seen on running OpenIM servers.
const FACTS: [(&str, &[&str]); 29] = [
    // A denied push of a notification leaves OpenIM's own work undone.
    ("PushPolicyService.BeforeGroupOnlinePush", &["1511", "1504", "1508", "members", "1204", "deleteMember"]),
    ("BeforeGroupOnlinePushResponse.denial", &["1504", "1508", "1511"]),
    ("GroupPolicyService.AfterDismissGroup", &["BeforeGroupOnlinePush"]),
    // A conversation is asked about once and for ever.
    ("ConversationPolicyService", &["once", "never", "1004", "1001"]),
    ("BeforeCreateSingleChatConversationsResponse.denial", &["for ever", "1004"]),
    ("BeforeCreateGroupChatConversationsResponse.denial", &["for ever", "1001", "AfterJoinGroup"]),
    // Who hears of a denial.
    ("Denial", &["push", "conversation", "4 KiB", "at a character"]),
    ("PushPolicyService", &["success"]),
    ("BeforeOfflinePushResponse.denial", &["success"]),
    ("BeforeOnlinePushResponse.denial", &["success"]),
    // Operation IDs.
    ("MessagePolicyService.AfterMsgSaveDB", &["operation ID", "dollar sign"]),
    ("ChatMessage.operation_id", &["batch", "dollar sign"]),
    ("PushMessage.operation_id", &["another message"]),
    ("PushPolicyService", &["another message"]),
    // The same message twice, and one ID for several.
    ("PushPolicyService.BeforeOnlinePush", &["twice", "client_msg_id"]),
    ("PushPolicyService.BeforeGroupOnlinePush", &["twice", "client_msg_id"]),
    ("PushMessage.client_msg_id", &["batch_send_msg"]),
    ("ChatMessage.client_msg_id", &["batch_send_msg"]),
    ("ChatMessage.server_msg_id", &["batch_send_msg"]),
    // What a filter of words does not see.
    ("ChatMessage.content", &["\"Content\"", "117", "118", "send_simple_msg"]),
    ("PushMessage.content", &["\"Content\"", "117", "118", "send_simple_msg"]),
    ("MessagePolicyService.AfterSendSingleMsg", &["not signed"]),
    ("MessagePolicyService.AfterSendGroupMsg", &["not signed"]),
    ("MessagePolicyService.AfterMsgSaveDB", &["not signed", "3.8.3-patch"]),
    ("Device.seq", &["equal"]),
    ("MessagePolicyService", &["attentionIds", "keyVersion"]),
    ("PresencePolicyService.AfterUserKickOff", &["force_logout"]),
    // Newer than the contract.
    ("GroupPolicyService.AfterJoinGroup", &["invited"]),
    ("AfterJoinGroupRequest.inviter_user_id", &["invited"]),
];

#[test]
fn what_was_seen_on_running_servers_stands_where_it_happens() {
    let mut missing = Vec::new();
    for (place, words) in FACTS {
        let comment = comment(place);
        missing.extend(words.iter().filter(|word| !comment.contains(**word)).map(|word| format!("{place}: {word}")));
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// grpc's generators for C++, PHP and Ruby take a dollar sign in a comment for a variable of theirs, and end.
#[test]
fn no_comment_has_a_dollar_sign() {
    for file in CONTRACT.files().filter(|file| file.package_name() == PACKAGE) {
        let comments = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
        let comments =
            comments.flat_map(|place| [&place.leading_comments, &place.trailing_comments].into_iter().flatten());
        let with_a_dollar: Vec<_> = comments.filter(|comment| comment.contains('$')).collect();
        assert_eq!(with_a_dollar, Vec::<&String>::new(), "{}", file.name());
    }
}

#[test]
fn every_service_with_events_says_that_they_come_twice_and_how_they_sort() {
    let mut services = 0;
    for service in CONTRACT.services().filter(|service| service.package_name() == PACKAGE) {
        let rpcs: Vec<_> = service
            .methods()
            .filter_map(|rpc| Callback::by_rpc(&format!("/{}/{}", service.full_name(), rpc.name())))
            .collect();
        let comment = comment(service.name());
        assert!(comment.contains("\"openim-operation-id\""), "{}", service.name());
        if rpcs.iter().all(|callback| callback.timing == Timing::Before) {
            continue;
        }
        for words in ["\"hookgate-event-id\"", "twice", "sort", "ithin one rpc"] {
            assert!(comment.contains(words), "{} lacks {words}", service.name());
        }
        // What says that events have an order, and what says that they have none, cannot both be true.
        let ordered = rpcs.iter().any(|callback| !callback.ordered_by.is_empty());
        assert!(!ordered || !comment.contains("order of events is not kept"), "{}", service.name());
        for words in ["\"hookgate-sequence\"", "\"hookgate-late: 1\""] {
            assert_eq!(ordered, comment.contains(words), "{}: {words}", service.name());
        }
        for callback in rpcs.iter().filter(|callback| callback.ordered_with().next().is_some()) {
            assert!(comment.contains(callback.method()), "{} lacks {}", service.name(), callback.method());
        }
        services += 1;
    }
    assert_eq!(services, 7, "all but the pushes");
}

/// The comment of a service, rpc, message or field, in one line. A place has its name in front: `Service.Rpc`.
fn comment(place: &str) -> String {
    let (holder, inner) = place.split_once('.').map_or((place, None), |(holder, inner)| (holder, Some(inner)));
    let full = format!("{PACKAGE}.{holder}");
    let (file, path) = match (CONTRACT.get_service_by_name(&full), CONTRACT.get_message_by_name(&full)) {
        (Some(service), _) => match inner {
            None => (service.parent_file(), service.path().to_vec()),
            Some(inner) => {
                let rpc = service.methods().find(|rpc| rpc.name() == inner).expect(place);
                (service.parent_file(), rpc.path().to_vec())
            }
        },
        (None, Some(message)) => match inner {
            None => (message.parent_file(), message.path().to_vec()),
            Some(inner) => (message.parent_file(), message.get_field_by_name(inner).expect(place).path().to_vec()),
        },
        (None, None) => panic!("the contract has no {place}"),
    };
    leading(&file, &path)
}

fn leading(file: &FileDescriptor, path: &[i32]) -> String {
    let proto = file.file_descriptor_proto();
    let mut locations = proto.source_code_info.iter().flat_map(|info| &info.location);
    let location = locations.find(|location| location.path == path).expect("a place");
    location.leading_comments().split_whitespace().collect::<Vec<_>>().join(" ")
}
