"""Runs the policy service: flags, server, signals."""

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from example_policy.audit import AuditLog
from example_policy.lookup import Lookup
from example_policy.policy import GroupPolicy, MessagePolicy, RelationPolicy
from openim.policy.v1 import group_pb2, group_pb2_grpc, message_pb2, message_pb2_grpc, relation_pb2, relation_pb2_grpc

STOP_SECONDS = 4
SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # Else a second process could take the same port, and half of the calls.
    ("grpc.so_reuseport", 0),
    # Clients look the name up again when a connection ends, and so find the replicas that were added since.
    ("grpc.max_connection_age_ms", 5 * 60 * 1000),
)

_log = logging.getLogger(__name__)


class StartError(Exception):
    """Why the service cannot start, in a sentence."""


class Guard(grpc.aio.ServerInterceptor):
    """Turns what a handler raises into a status that tells the caller nothing of the inside."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:  # An unknown method, or a stream (reflection, health).
            return handler
        read: Callable[[bytes], Any] = handler.request_deserializer or bytes
        # The stubs know the handlers of grpc's other server alone.
        answer: Callable[[Any, Any], Any] = handler.unary_unary

        async def guarded(data: bytes, context: grpc.aio.ServicerContext) -> Any:
            try:
                return await answer(read(data), context)
            except grpc.aio.AbortError:  # The handler has chosen the status itself.
                raise
            except NotImplementedError:  # The generated base class: this policy does not implement the rpc.
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this policy does not answer this callback")
            except Exception:  # noqa: BLE001
                _log.exception("%s failed", details.method)
                await context.abort(grpc.StatusCode.INTERNAL, "the policy failed on this call")

        # Without a deserializer, so that bytes that are no request are caught above too.
        return grpc.unary_unary_rpc_method_handler(guarded, None, handler.response_serializer)


async def create_server(words: Lookup, audit: AuditLog) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    """Registers the policy with what every policy service should have beside it: health and reflection."""
    server = grpc.aio.server(interceptors=[Guard()], options=SERVER_OPTIONS)
    message_pb2_grpc.add_MessagePolicyServiceServicer_to_server(MessagePolicy(words, audit), server)
    relation_pb2_grpc.add_RelationPolicyServiceServicer_to_server(RelationPolicy(audit), server)
    group_pb2_grpc.add_GroupPolicyServiceServicer_to_server(GroupPolicy(), server)
    services = [
        file.DESCRIPTOR.services_by_name[name].full_name
        for file, name in (
            (message_pb2, "MessagePolicyService"),
            (relation_pb2, "RelationPolicyService"),
            (group_pb2, "GroupPolicyService"),
        )
    ]

    health_servicer = health.aio.HealthServicer()  # Serves "", the server as a whole, from the start.
    for service in services:
        await health_servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return server, health_servicer


async def serve(listen: str, words: Lookup, audit: AuditLog) -> None:
    """Serves until SIGTERM or SIGINT."""
    server, health_servicer = await create_server(words, audit)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError:
        raise StartError(f"cannot listen on {listen}: it is in use, or no address of this machine") from None

    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    await server.start()
    print(f"listening on {listen.rpartition(':')[0]}:{port}", file=sys.stderr, flush=True)
    await stop.wait()

    # A write to the audit file that hangs (a pipe that nobody reads) holds its thread, and Python would wait for it at
    # the end. A service without blocking writes in threads needs none of this.
    last_resort = threading.Timer(STOP_SECONDS + 1, os._exit, [0])
    last_resort.daemon = True
    last_resort.start()
    await health_servicer.enter_graceful_shutdown()
    await server.stop(STOP_SECONDS)  # Takes no new calls, and cancels those that take longer.


def main() -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    args = parse_args()
    try:
        audit = AuditLog(open_audit(args.audit))
        words = {*args.word, *(read_words(args.words) if args.words else ())}
        if not words:
            print("no words given, so nothing is blocked", file=sys.stderr)
        asyncio.run(serve(args.listen, Lookup(words, args.delay_ms / 1000), audit))
    except StartError as error:
        sys.exit(f"example-policy: {error}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="example-policy", description="An example policy service for hookgate.")
    listen = os.environ.get("LISTEN") or "127.0.0.1:50051"
    parser.add_argument(
        "--listen",
        type=address,
        default=listen,
        metavar="HOST:PORT",
        help="(%(default)s; the variable LISTEN sets it too)",
    )
    parser.add_argument("--word", type=blocked_word, action="append", default=[], help="a blocked word; repeatable")
    parser.add_argument("--words", metavar="FILE", help='blocked words, one a line; lines beginning with "#" are not')
    parser.add_argument(
        "--delay-ms",
        type=milliseconds,
        default=0,
        metavar="MS",
        help="the time that looking words up takes (%(default)s)",
    )
    parser.add_argument("--audit", metavar="FILE", help="where audit lines are appended (standard output)")
    return parser.parse_args()


def address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{value!r} is not HOST:PORT")
    return value


def milliseconds(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise argparse.ArgumentTypeError(f"{value!r} is no number of milliseconds")
    return int(value)


def blocked_word(value: str) -> str:
    if not value.strip():
        raise argparse.ArgumentTypeError("a blank word would block every message")
    return value


def read_words(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as file:  # Editors on Windows begin UTF-8 files with a mark.
            lines = [line.strip() for line in file]
    except OSError as error:
        raise StartError(f"cannot read the words file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartError(f"the words file {path} is not UTF-8") from None
    return [line for line in lines if line and not line.startswith("#")]


def open_audit(path: str | None) -> BinaryIO:
    try:
        # Without a buffer: what is written is there at once, and what failed is not tried again behind our back.
        return open(1 if path is None else path, "ab", buffering=0, closefd=path is not None)
    except OSError as error:
        raise StartError(f"cannot open the audit file {path or '(standard output)'}: {error.strerror}") from None


if __name__ == "__main__":
    main()
