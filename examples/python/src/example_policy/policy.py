"""What the policy decides. The rpcs that are not here stay UNIMPLEMENTED, as the generated base classes have it.

The contract is ../../proto/openim/policy/v1: its comments say when OpenIM asks and what an answer does.
"""

import asyncio
import logging
from typing import Any, TypeVar

import grpc

from example_policy import content
from example_policy.audit import AuditLog
from example_policy.lookup import Lookup
from openim.policy.v1 import (
    common_pb2,
    group_pb2,
    group_pb2_grpc,
    message_pb2,
    message_pb2_grpc,
    relation_pb2,
    relation_pb2_grpc,
)

BLOCKED_WORD = common_pb2.Denial(code=5001, message="the message holds a blocked word")
NAMELESS_GROUP = common_pb2.Denial(code=5002, message="a group needs a name")
LONGEST_GROUP_NAME = 30
# Seconds before a call's deadline at which the policy stops waiting, so that its answer still arrives.
TIME_TO_REPLY = 0.05

_log = logging.getLogger(__name__)

GroupResponse = TypeVar(
    "GroupResponse",
    group_pb2.BeforeCreateGroupResponse,
    group_pb2.BeforeSetGroupInfoResponse,
    group_pb2.BeforeSetGroupInfoExResponse,
)


class MessagePolicy(message_pb2_grpc.MessagePolicyServiceServicer):
    """Stops messages with blocked words, masks phone numbers, notes revoked messages."""

    def __init__(self, words: Lookup, audit: AuditLog) -> None:
        self._words = words
        self._audit = audit

    async def BeforeSendSingleMsg(
        self, request: message_pb2.BeforeSendSingleMsgRequest, context: grpc.aio.ServicerContext
    ) -> message_pb2.BeforeSendSingleMsgResponse:
        return message_pb2.BeforeSendSingleMsgResponse(denial=await self._check(request.message, context))

    async def BeforeSendGroupMsg(
        self, request: message_pb2.BeforeSendGroupMsgRequest, context: grpc.aio.ServicerContext
    ) -> message_pb2.BeforeSendGroupMsgResponse:
        return message_pb2.BeforeSendGroupMsgResponse(denial=await self._check(request.message, context))

    async def BeforeMsgModify(
        self, request: message_pb2.BeforeMsgModifyRequest, context: grpc.aio.ServicerContext
    ) -> message_pb2.BeforeMsgModifyResponse:
        masked = content.mask_phone_numbers(request.message.content)
        # None leaves the field out: the message goes on unchanged.
        return message_pb2.BeforeMsgModifyResponse(content=masked if masked != request.message.content else None)

    async def AfterRevokeMsg(
        self, request: message_pb2.AfterRevokeMsgRequest, context: grpc.aio.ServicerContext
    ) -> message_pb2.AfterRevokeMsgResponse:
        await _note(
            self._audit,
            context,
            "AfterRevokeMsg",
            conversation_id=request.conversation_id,
            seq=request.seq,
            user_id=request.user_id,
        )
        return message_pb2.AfterRevokeMsgResponse()

    async def _check(
        self, message: common_pb2.ChatMessage, context: grpc.aio.ServicerContext
    ) -> common_pb2.Denial | None:
        left = context.time_remaining()
        try:
            async with asyncio.timeout(None if left is None else left - TIME_TO_REPLY):
                return BLOCKED_WORD if await self._words.find(message.content) else None
        except TimeoutError:
            # A failure, and no decision: hookgate's failure rule decides.
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the words could not be looked up in time")


class RelationPolicy(relation_pb2_grpc.RelationPolicyServiceServicer):
    """Trims remarks, notes who is taken off a blacklist."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def BeforeSetFriendRemark(
        self, request: relation_pb2.BeforeSetFriendRemarkRequest, context: grpc.aio.ServicerContext
    ) -> relation_pb2.BeforeSetFriendRemarkResponse:
        trimmed = request.remark.strip()
        if trimmed in ("", request.remark):  # An empty remark cannot be sent back.
            return relation_pb2.BeforeSetFriendRemarkResponse()
        return relation_pb2.BeforeSetFriendRemarkResponse(remark=trimmed)

    async def AfterRemoveBlack(
        self, request: relation_pb2.AfterRemoveBlackRequest, context: grpc.aio.ServicerContext
    ) -> relation_pb2.AfterRemoveBlackResponse:
        await _note(
            self._audit,
            context,
            "AfterRemoveBlack",
            owner_user_id=request.owner_user_id,
            black_user_id=request.black_user_id,
        )
        return relation_pb2.AfterRemoveBlackResponse()


class GroupPolicy(group_pb2_grpc.GroupPolicyServiceServicer):
    """Sees to it that groups have names, and short ones."""

    async def BeforeCreateGroup(
        self, request: group_pb2.BeforeCreateGroupRequest, context: grpc.aio.ServicerContext
    ) -> group_pb2.BeforeCreateGroupResponse:
        return _check_group_name(request.group.group_name, group_pb2.BeforeCreateGroupResponse)

    async def BeforeSetGroupInfo(
        self, request: group_pb2.BeforeSetGroupInfoRequest, context: grpc.aio.ServicerContext
    ) -> group_pb2.BeforeSetGroupInfoResponse:
        if request.group_name == "":  # The name is not being changed.
            return group_pb2.BeforeSetGroupInfoResponse()
        return _check_group_name(request.group_name, group_pb2.BeforeSetGroupInfoResponse)

    async def BeforeSetGroupInfoEx(
        self, request: group_pb2.BeforeSetGroupInfoExRequest, context: grpc.aio.ServicerContext
    ) -> group_pb2.BeforeSetGroupInfoExResponse:
        if not request.HasField("group_name"):  # The name is not being changed.
            return group_pb2.BeforeSetGroupInfoExResponse()
        return _check_group_name(request.group_name, group_pb2.BeforeSetGroupInfoExResponse)


def _check_group_name(name: str, response: type[GroupResponse]) -> GroupResponse:
    if not name.strip():
        return response(denial=NAMELESS_GROUP)
    if len(name) > LONGEST_GROUP_NAME:
        return response(group_name=name[:LONGEST_GROUP_NAME])
    return response()


async def _note(audit: AuditLog, context: grpc.aio.ServicerContext, event: str, **fields: Any) -> None:
    line = {
        "event": event,
        "operation_id": _metadata(context, "openim-operation-id"),
        "event_id": _metadata(context, "hookgate-event-id"),
        **fields,
    }
    try:
        # In a thread, because a slow disk must not hold up the calls that OpenIM waits for. A call that is cancelled
        # meanwhile is written and remembered all the same.
        await asyncio.to_thread(audit.append, line)
    except OSError as error:
        _log.error("%s %s was not written to the audit file: %s", event, line["event_id"], error)
        # Not the success of an empty response: hookgate is to deliver the event again.
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the audit line could not be written")


def _metadata(context: grpc.aio.ServicerContext, key: str) -> str:
    """Returns the first value of the key, or an empty string."""
    values = (value for name, value in context.invocation_metadata() or () if name == key)
    return str(next(values, ""))
