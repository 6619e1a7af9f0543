//! The policy: one function for each rpc that it answers. This is the file to begin your own with.
//!
//! An empty response allows, one with a denial denies, one with another field allows with that changed. The generated
//! traits answer UNIMPLEMENTED for every rpc that is left out here; their documentation is the contract's manual.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status, async_trait};
use tracing::{Instrument, Span};

use crate::audit::{Audit, Line};
use crate::content;
use crate::lookup::{self, Lookup};
use crate::proto::group_policy_service_server::GroupPolicyService;
use crate::proto::message_policy_service_server::MessagePolicyService;
use crate::proto::relation_policy_service_server::RelationPolicyService;
use crate::proto::{
    AfterRemoveBlackRequest, AfterRemoveBlackResponse, AfterRevokeMsgRequest, AfterRevokeMsgResponse,
    BeforeCreateGroupRequest, BeforeCreateGroupResponse, BeforeMsgModifyRequest, BeforeMsgModifyResponse,
    BeforeSendGroupMsgRequest, BeforeSendGroupMsgResponse, BeforeSendSingleMsgRequest, BeforeSendSingleMsgResponse,
    BeforeSetFriendRemarkRequest, BeforeSetFriendRemarkResponse, BeforeSetGroupInfoExRequest,
    BeforeSetGroupInfoExResponse, BeforeSetGroupInfoRequest, BeforeSetGroupInfoResponse, ChatMessage, Denial,
};
use crate::text;

/// The most characters of a group's name.
const LONGEST_NAME: usize = 30;

/// What the policy knows.
pub struct Policy {
    words: Lookup,
    audit: Arc<Audit>,
}

impl Policy {
    pub fn new(words: Lookup, audit: Audit) -> Self {
        Self { words, audit: Arc::new(audit) }
    }

    /// Whether there is no word to look for.
    pub fn blocks_nothing(&self) -> bool {
        self.words.is_empty()
    }

    /// The same for all messages: a denial, or none. A look-up that takes too long is a failure, and no decision:
    /// hookgate's failure rule decides then.
    async fn check_message(
        &self,
        message: Option<&ChatMessage>,
        limit: Option<Duration>,
    ) -> Result<Option<Denial>, Status> {
        let Some(message) = message else { return Ok(None) };
        match self.words.find(&message.content, limit).await {
            Ok(found) => Ok(found.then(|| deny(5001, "the message holds a blocked word"))),
            Err(lookup::Late) => Err(Status::deadline_exceeded("the words could not be looked up in time")),
        }
    }

    /// Writes down what has happened. hookgate delivers an event again whose answer is UNAVAILABLE.
    async fn note(&self, line: Line) -> Result<(), Status> {
        let audit = Arc::clone(&self.audit);
        // Files block. The task is finished even if the caller goes away, so a line is never left half written.
        let written = tokio::task::spawn_blocking(move || audit.append(&line)).await;
        let written = written.map_err(|error| {
            tracing::error!(%error, "audit line not finished");
            Status::internal("the policy failed")
        })?;
        written.map_err(|error| {
            tracing::error!(%error, "audit line not written");
            Status::unavailable("the event cannot be written to the audit")
        })
    }
}

#[async_trait]
impl MessagePolicyService for Policy {
    async fn before_send_single_msg(
        &self,
        request: Request<BeforeSendSingleMsgRequest>,
    ) -> Result<Response<BeforeSendSingleMsgResponse>, Status> {
        let denial = self.check_message(request.get_ref().message.as_ref(), lookup::limit(&request)).await?;
        Ok(Response::new(BeforeSendSingleMsgResponse { denial }))
    }

    async fn before_send_group_msg(
        &self,
        request: Request<BeforeSendGroupMsgRequest>,
    ) -> Result<Response<BeforeSendGroupMsgResponse>, Status> {
        let denial = self.check_message(request.get_ref().message.as_ref(), lookup::limit(&request)).await?;
        Ok(Response::new(BeforeSendGroupMsgResponse { denial }))
    }

    async fn before_msg_modify(
        &self,
        request: Request<BeforeMsgModifyRequest>,
    ) -> Result<Response<BeforeMsgModifyResponse>, Status> {
        let content = request.get_ref().message.as_ref().and_then(|message| content::mask(&message.content));
        Ok(Response::new(BeforeMsgModifyResponse { content, ..Default::default() }))
    }

    async fn after_revoke_msg(
        &self,
        request: Request<AfterRevokeMsgRequest>,
    ) -> Result<Response<AfterRevokeMsgResponse>, Status> {
        let (operation_id, event_id) = ids(&request);
        let AfterRevokeMsgRequest { conversation_id, seq, user_id, .. } = request.into_inner();
        let span = call_span("AfterRevokeMsg", &operation_id);
        self.note(Line::AfterRevokeMsg { operation_id, event_id, conversation_id, seq, user_id })
            .instrument(span)
            .await?;
        Ok(Response::new(AfterRevokeMsgResponse::default()))
    }
}

#[async_trait]
impl RelationPolicyService for Policy {
    async fn before_set_friend_remark(
        &self,
        request: Request<BeforeSetFriendRemarkRequest>,
    ) -> Result<Response<BeforeSetFriendRemarkResponse>, Status> {
        let remark = &request.get_ref().remark;
        let trimmed = remark.trim();
        // An empty remark cannot be sent back: the contract says so.
        let changed = trimmed != remark && !trimmed.is_empty();
        let remark = changed.then(|| trimmed.to_owned());
        Ok(Response::new(BeforeSetFriendRemarkResponse { remark, ..Default::default() }))
    }

    async fn after_remove_black(
        &self,
        request: Request<AfterRemoveBlackRequest>,
    ) -> Result<Response<AfterRemoveBlackResponse>, Status> {
        let (operation_id, event_id) = ids(&request);
        let AfterRemoveBlackRequest { owner_user_id, black_user_id, .. } = request.into_inner();
        let span = call_span("AfterRemoveBlack", &operation_id);
        self.note(Line::AfterRemoveBlack { operation_id, event_id, owner_user_id, black_user_id })
            .instrument(span)
            .await?;
        Ok(Response::new(AfterRemoveBlackResponse::default()))
    }
}

#[async_trait]
impl GroupPolicyService for Policy {
    async fn before_create_group(
        &self,
        request: Request<BeforeCreateGroupRequest>,
    ) -> Result<Response<BeforeCreateGroupResponse>, Status> {
        let group = request.into_inner().group.unwrap_or_default();
        let (denial, group_name) = check_name(&group.group_name);
        Ok(Response::new(BeforeCreateGroupResponse { denial, group_name, ..Default::default() }))
    }

    async fn before_set_group_info(
        &self,
        request: Request<BeforeSetGroupInfoRequest>,
    ) -> Result<Response<BeforeSetGroupInfoResponse>, Status> {
        let name = &request.get_ref().group_name;
        // Empty means here that the name is not being changed.
        let (denial, group_name) = if name.is_empty() { (None, None) } else { check_name(name) };
        Ok(Response::new(BeforeSetGroupInfoResponse { denial, group_name, ..Default::default() }))
    }

    async fn before_set_group_info_ex(
        &self,
        request: Request<BeforeSetGroupInfoExRequest>,
    ) -> Result<Response<BeforeSetGroupInfoExResponse>, Status> {
        // Here absent means that, and empty is a name like any other.
        let name = request.get_ref().group_name.as_deref();
        let (denial, group_name) = name.map(check_name).unwrap_or_default();
        Ok(Response::new(BeforeSetGroupInfoExResponse { denial, group_name, ..Default::default() }))
    }
}

/// A denial for a group's name, or another name.
fn check_name(name: &str) -> (Option<Denial>, Option<String>) {
    if name.trim().is_empty() {
        return (Some(deny(5002, "a group needs a name")), None);
    }
    (None, text::cut(name, LONGEST_NAME).map(str::to_owned))
}

fn deny(code: i32, message: &str) -> Denial {
    Denial { code, message: message.to_owned(), ..Default::default() }
}

/// Begins the span of a call, with the fields that all log messages about it have.
fn call_span(rpc: &'static str, operation_id: &str) -> Span {
    tracing::error_span!("call", rpc, operation_id)
}

/// The IDs of OpenIM's operation and of hookgate's event, which are not in the request but beside it.
fn ids<T>(request: &Request<T>) -> (String, String) {
    let text = |key| request.metadata().get(key).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    (text("openim-operation-id"), text("hookgate-event-id"))
}
