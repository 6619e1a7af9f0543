package com.example.policy;

import io.grpc.stub.StreamObserver;
import io.openim.policy.v1.AfterRevokeMsgRequest;
import io.openim.policy.v1.AfterRevokeMsgResponse;
import io.openim.policy.v1.BeforeMsgModifyRequest;
import io.openim.policy.v1.BeforeMsgModifyResponse;
import io.openim.policy.v1.BeforeSendGroupMsgRequest;
import io.openim.policy.v1.BeforeSendGroupMsgResponse;
import io.openim.policy.v1.BeforeSendSingleMsgRequest;
import io.openim.policy.v1.BeforeSendSingleMsgResponse;
import io.openim.policy.v1.ChatMessage;
import io.openim.policy.v1.Denial;
import io.openim.policy.v1.MessagePolicyServiceGrpc.MessagePolicyServiceImplBase;

/** Stops messages that hold a blocked word, masks phone numbers, and records what was revoked. */
final class MessagePolicy extends MessagePolicyServiceImplBase {

  private static final Denial BLOCKED =
      Denial.newBuilder().setCode(5001).setMessage("the message holds a blocked word").build();

  private final Lookup words;
  private final AuditLog audit;

  MessagePolicy(Lookup words, AuditLog audit) {
    this.words = words;
    this.audit = audit;
  }

  @Override
  public void beforeSendSingleMsg(
      BeforeSendSingleMsgRequest request, StreamObserver<BeforeSendSingleMsgResponse> reply) {
    var response = BeforeSendSingleMsgResponse.newBuilder();
    if (isBlocked(request.getMessage())) {
      response.setDenial(BLOCKED);
    }
    reply.onNext(response.build());
    reply.onCompleted();
  }

  @Override
  public void beforeSendGroupMsg(
      BeforeSendGroupMsgRequest request, StreamObserver<BeforeSendGroupMsgResponse> reply) {
    var response = BeforeSendGroupMsgResponse.newBuilder();
    if (isBlocked(request.getMessage())) {
      response.setDenial(BLOCKED);
    }
    reply.onNext(response.build());
    reply.onCompleted();
  }

  private boolean isBlocked(ChatMessage message) {
    return words.find(message.getContent());
  }

  @Override
  public void beforeMsgModify(
      BeforeMsgModifyRequest request, StreamObserver<BeforeMsgModifyResponse> reply) {
    var response = BeforeMsgModifyResponse.newBuilder();
    String content = request.getMessage().getContent();
    String masked = MessageContent.maskPhoneNumbers(content);
    if (!masked.equals(content)) {
      response.setContent(masked);
    }
    reply.onNext(response.build());
    reply.onCompleted();
  }

  @Override
  public void afterRevokeMsg(
      AfterRevokeMsgRequest request, StreamObserver<AfterRevokeMsgResponse> reply) {
    audit.append(
        AuditLog.line("AfterRevokeMsg")
            .put("conversation_id", request.getConversationId())
            .put("seq", request.getSeq())
            .put("user_id", request.getUserId()));
    reply.onNext(AfterRevokeMsgResponse.getDefaultInstance());
    reply.onCompleted();
  }
}
