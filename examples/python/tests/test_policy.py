"""Calls the rpcs through a real server and its port."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from example_policy import policy
from example_policy.__main__ import create_server
from example_policy.audit import AuditLog
from example_policy.lookup import Lookup
from openim.policy.v1 import common_pb2, message_pb2, message_pb2_grpc, relation_pb2, relation_pb2_grpc


def serve(
    test: Callable[[grpc.aio.Channel], Awaitable[Any]], words: Lookup | None = None, audit: io.BytesIO | None = None
) -> Any:
    """Runs the test with a channel to a server."""

    async def run() -> Any:
        server, _ = await create_server(words or Lookup(["spam"]), AuditLog(audit or io.BytesIO()))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await test(channel)
        finally:
            await server.stop(None)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        pytest.param({"message": {"content": '{"content":"buy spam"}'}}, 5001, id="a blocked word"),
        pytest.param({"message": {"content": '{"content":"buy ham"}'}}, None, id="another word"),
        pytest.param({"message": {"content": "spam"}}, 5001, id="no JSON"),
        pytest.param({"message": {}}, None, id="an empty message"),
        pytest.param({}, None, id="no message"),
    ],
)
def test_before_send_single_msg(request_, code):
    request = message_pb2.BeforeSendSingleMsgRequest(**request_)
    response = serve(lambda channel: message_pb2_grpc.MessagePolicyServiceStub(channel).BeforeSendSingleMsg(request))
    denial = response.denial if response.HasField("denial") else None
    assert (denial and denial.code) == code


class Call:
    """A call whose deadline is near; grpc's own context cannot be made without a connection."""

    def time_remaining(self):
        return policy.TIME_TO_REPLY + 0.01

    async def abort(self, code, details):
        raise grpc.aio.AbortError(code)


def test_a_lookup_ends_before_the_deadline():
    rules = policy.MessagePolicy(Lookup(["spam"], delay=3600), AuditLog(io.BytesIO()))
    request = message_pb2.BeforeSendSingleMsgRequest(message=common_pb2.ChatMessage())
    with pytest.raises(grpc.aio.AbortError) as raised:
        asyncio.run(rules.BeforeSendSingleMsg(request, Call()))
    assert raised.value.args == (grpc.StatusCode.DEADLINE_EXCEEDED,)


def test_an_event_is_audited_once():
    async def remove(channel):
        for _ in range(2):
            await relation_pb2_grpc.RelationPolicyServiceStub(channel).AfterRemoveBlack(
                relation_pb2.AfterRemoveBlackRequest(owner_user_id="ann", black_user_id="bob"),
                metadata=(("hookgate-event-id", "e1"), ("openim-operation-id", "op")),
            )

    audit = io.BytesIO()
    serve(remove, audit=audit)
    assert audit.getvalue().decode() == (
        '{"event":"AfterRemoveBlack","operation_id":"op","event_id":"e1","owner_user_id":"ann","black_user_id":"bob"}\n'
    )


def test_other_rpcs_are_unimplemented():
    request = relation_pb2.BeforeAddBlackRequest()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        serve(lambda channel: relation_pb2_grpc.RelationPolicyServiceStub(channel).BeforeAddBlack(request))
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
