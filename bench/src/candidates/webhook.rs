//! The two webhooks as a user reads them with serde, and their way into the contract.

use serde::Deserialize;

use crate::contract::{AfterRemoveBlackRequest, BeforeSendSingleMsgRequest, ChatMessage};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub struct RemoveBlack {
    callback_command: String,
    #[serde(rename = "ownerUserID")]
    owner_user_id: String,
    #[serde(rename = "blackUserID")]
    black_user_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub struct SingleMessage {
    callback_command: String,
    #[serde(rename = "sendID")]
    send_id: String,
    #[serde(rename = "recvID")]
    recv_id: String,
    #[serde(rename = "serverMsgID")]
    server_msg_id: String,
    #[serde(rename = "clientMsgID")]
    client_msg_id: String,
    #[serde(rename = "operationID")]
    operation_id: String,
    #[serde(rename = "senderPlatformID")]
    sender_platform_id: i32,
    sender_nickname: String,
    session_type: i32,
    msg_from: i32,
    content_type: i32,
    status: i32,
    send_time: Option<i64>,
    create_time: i64,
    content: String,
    seq: u32,
    at_user_list: Option<Vec<String>>,
    #[serde(rename = "faceURL")]
    face_url: String,
    ex: String,
}

impl From<RemoveBlack> for AfterRemoveBlackRequest {
    fn from(webhook: RemoveBlack) -> Self {
        Self {
            callback_command: webhook.callback_command,
            owner_user_id: webhook.owner_user_id,
            black_user_id: webhook.black_user_id,
            ..Self::default()
        }
    }
}

impl From<SingleMessage> for BeforeSendSingleMsgRequest {
    fn from(webhook: SingleMessage) -> Self {
        let message = ChatMessage {
            send_id: webhook.send_id,
            server_msg_id: webhook.server_msg_id,
            client_msg_id: webhook.client_msg_id,
            operation_id: webhook.operation_id,
            sender_platform_id: webhook.sender_platform_id,
            sender_nickname: webhook.sender_nickname,
            session_type: webhook.session_type,
            msg_from: webhook.msg_from,
            content_type: webhook.content_type,
            status: webhook.status,
            send_time: webhook.send_time,
            create_time: webhook.create_time,
            content: webhook.content,
            seq: webhook.seq,
            at_user_list: webhook.at_user_list.unwrap_or_default(),
            face_url: webhook.face_url,
            ex: webhook.ex,
        };
        Self {
            callback_command: webhook.callback_command,
            message: Some(message),
            recv_id: webhook.recv_id,
            ..Self::default()
        }
    }
}
