import { type handleUnaryCall, type Metadata, type ServerUnaryCall, status } from "@grpc/grpc-js";
import { AuditError, type AuditLog } from "./audit.js";
import { maskContent } from "./content.js";
import { ChatMessage, Denial } from "./gen/openim/policy/v1/common.js";
import type { GroupPolicyServiceServer } from "./gen/openim/policy/v1/group.js";
import type { MessagePolicyServiceServer } from "./gen/openim/policy/v1/message.js";
import type { RelationPolicyServiceServer } from "./gen/openim/policy/v1/relation.js";
import { beforeDeadline, type Lookup } from "./lookup.js";
import { cutTo } from "./text.js";

// What is decided. {} allows as it is, a field in it changes that, a denial stops. The rpcs that are not here answer
// UNIMPLEMENTED: to take one on, write its function, and the generated types say what goes in and out.

const blockedWord = Denial.create({ code: 5001, message: "the message holds a blocked word" });
const noGroupName = Denial.create({ code: 5002, message: "a group needs a name" });
const maxGroupName = 30;
// hookgate always sends the message, but in protobuf any message may be absent.
const noMessage = ChatMessage.create();

/** There was not enough time for a decision. */
class LateError extends Error {}

export function messagePolicy(isBlocked: Lookup, audit: AuditLog) {
  const checkWords = async ({ content }: ChatMessage, signal: AbortSignal) => {
    try {
      return (await isBlocked(content, signal)) ? { denial: blockedWord } : {};
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new LateError("the words could not be looked up in time", { cause: error });
    }
  };
  return {
    beforeSendSingleMsg: unary(({ message = noMessage }, call) =>
      checkWords(message, beforeDeadline(call.getDeadline())),
    ),
    beforeSendGroupMsg: unary(({ message = noMessage }, call) =>
      checkWords(message, beforeDeadline(call.getDeadline())),
    ),
    beforeMsgModify: unary(({ message: { content } = noMessage }) => {
      const masked = maskContent(content);
      return masked === content ? {} : { content: masked };
    }),
    afterRevokeMsg: unary(async ({ conversationId, seq, userId }, { metadata }) => {
      await record(audit, "AfterRevokeMsg", metadata, { conversation_id: conversationId, seq, user_id: userId });
      return {};
    }),
  } satisfies Partial<MessagePolicyServiceServer>;
}

export function relationPolicy(audit: AuditLog) {
  return {
    beforeSetFriendRemark: unary(({ remark }) => {
      const trimmed = remark.trim();
      // OpenIM takes an empty remark in an answer for none, so it cannot be set here.
      return trimmed === remark || trimmed === "" ? {} : { remark: trimmed };
    }),
    afterRemoveBlack: unary(async ({ ownerUserId, blackUserId }, { metadata }) => {
      await record(audit, "AfterRemoveBlack", metadata, { owner_user_id: ownerUserId, black_user_id: blackUserId });
      return {};
    }),
  } satisfies Partial<RelationPolicyServiceServer>;
}

export function groupPolicy() {
  const checkName = (name: string) =>
    name.trim() === "" ? { denial: noGroupName } : { groupName: cutTo(maxGroupName, name) };
  return {
    beforeCreateGroup: unary(({ group }) => checkName(group?.groupName ?? "")),
    // Here an empty name means that the name is not being changed; in the newer form of the call it is absent then.
    beforeSetGroupInfo: unary(({ groupName }) => (groupName === "" ? {} : checkName(groupName))),
    beforeSetGroupInfoEx: unary(({ groupName }) => (groupName === undefined ? {} : checkName(groupName))),
  } satisfies Partial<GroupPolicyServiceServer>;
}

async function record(audit: AuditLog, event: string, metadata: Metadata, fields: Record<string, unknown>) {
  const value = (key: string) => metadata.get(key)[0]?.toString() ?? "";
  const eventId = value("hookgate-event-id");
  await audit.append(eventId, { event, operation_id: value("openim-operation-id"), event_id: eventId, ...fields });
}

/** Makes a grpc-js handler of a function that returns the response, and a status of what it throws. */
function unary<Request, Response>(
  rpc: (request: Request, call: ServerUnaryCall<Request, Response>) => Response | Promise<Response>,
): handleUnaryCall<Request, Response> {
  return async (call, callback) => {
    let response: Response;
    try {
      response = await rpc(call.request, call);
    } catch (error) {
      if (error instanceof AuditError) {
        // hookgate delivers the event again.
        callback({ code: status.UNAVAILABLE, details: error.message });
      } else if (error instanceof LateError) {
        // hookgate's failure rule decides.
        callback({ code: status.DEADLINE_EXCEEDED, details: error.message });
      } else {
        // The cause is for the log alone: the caller gets a fixed sentence.
        console.error(`${call.getPath()}:`, error);
        callback({ code: status.INTERNAL, details: "the policy failed" });
      }
      return;
    }
    callback(null, response);
  };
}
