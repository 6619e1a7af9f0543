import assert from "node:assert/strict";
import { after, test } from "node:test";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import { AuditLog } from "./audit.js";
import { contentFilter } from "./content.js";
import { ChatMessage } from "./gen/openim/policy/v1/common.js";
import { BeforeSendSingleMsgRequest, MessagePolicyServiceService } from "./gen/openim/policy/v1/message.js";
import {
  AfterRemoveBlackRequest,
  BeforeAddBlackRequest,
  RelationPolicyServiceService,
} from "./gen/openim/policy/v1/relation.js";
import { lookup, replyMs } from "./lookup.js";
import { messagePolicy } from "./policy.js";
import { createServer } from "./server.js";
import { wordFilter } from "./text.js";

const isBlocked = contentFilter(wordFilter(["spam"]));
let audited = "";
const audit = new AuditLog((bytes) => {
  audited += Buffer.from(bytes).toString();
  return Promise.resolve(bytes.length);
});

const { server } = createServer(lookup(isBlocked), audit);
const bind = promisify(server.bindAsync.bind(server));
const port = await bind("127.0.0.1:0", grpc.ServerCredentials.createInsecure());
const client = new grpc.Client(`127.0.0.1:${String(port)}`, grpc.credentials.createInsecure());
after(() => {
  client.close();
  server.forceShutdown();
});

function call<Request, Response>(
  rpc: grpc.MethodDefinition<Request, Response>,
  request: Request,
  metadata = new grpc.Metadata(),
): Promise<Response | undefined> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      rpc.path,
      rpc.requestSerialize,
      rpc.responseDeserialize,
      request,
      metadata,
      (error, response) => {
        if (error) reject(error);
        else resolve(response);
      },
    );
  });
}

for (const [name, content, code] of [
  ["a blocked word", '{"content":"buy spam"}', 5001],
  ["another word", '{"content":"buy ham"}', undefined],
  ["no JSON", "spam", 5001],
  ["an empty message", "", undefined],
  ["no message", undefined, undefined],
] as const) {
  test(`beforeSendSingleMsg: ${name}`, async () => {
    const message = content === undefined ? undefined : ChatMessage.create({ contentType: 101, content });
    const request = BeforeSendSingleMsgRequest.create({ message });
    const response = await call(MessagePolicyServiceService.beforeSendSingleMsg, request);
    assert.equal(response?.denial?.code, code);
  });
}

test("a look-up ends before the deadline", async () => {
  const { beforeSendSingleMsg } = messagePolicy(lookup(isBlocked, 3_600_000), audit);
  const late = { request: BeforeSendSingleMsgRequest.create(), getDeadline: () => Date.now() + replyMs + 10 };
  const error = await new Promise((resolve) => {
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- all of a call that it reads
    beforeSendSingleMsg(late as Parameters<typeof beforeSendSingleMsg>[0], resolve);
  });
  assert.deepEqual(error, {
    code: grpc.status.DEADLINE_EXCEEDED,
    details: "the words could not be looked up in time",
  });
});

test("an event is audited once", async () => {
  const metadata = new grpc.Metadata();
  metadata.set("hookgate-event-id", "e1");
  metadata.set("openim-operation-id", "op");
  const request = AfterRemoveBlackRequest.create({ ownerUserId: "ann", blackUserId: "bob" });
  for (let delivery = 0; delivery < 2; delivery++) {
    await call(RelationPolicyServiceService.afterRemoveBlack, request, metadata);
  }
  assert.equal(
    audited,
    '{"event":"AfterRemoveBlack","operation_id":"op","event_id":"e1","owner_user_id":"ann","black_user_id":"bob"}\n',
  );
});

test("other rpcs are unimplemented", async () => {
  const answer = call(RelationPolicyServiceService.beforeAddBlack, BeforeAddBlackRequest.create());
  await assert.rejects(answer, { code: grpc.status.UNIMPLEMENTED });
});
