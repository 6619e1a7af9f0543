package com.example.policy;

import io.grpc.stub.StreamObserver;
import io.openim.policy.v1.AfterRemoveBlackRequest;
import io.openim.policy.v1.AfterRemoveBlackResponse;
import io.openim.policy.v1.BeforeSetFriendRemarkRequest;
import io.openim.policy.v1.BeforeSetFriendRemarkResponse;
import io.openim.policy.v1.RelationPolicyServiceGrpc.RelationPolicyServiceImplBase;

/** Trims remarks, and records who was taken off a blacklist. */
final class RelationPolicy extends RelationPolicyServiceImplBase {

  private final AuditLog audit;

  RelationPolicy(AuditLog audit) {
    this.audit = audit;
  }

  @Override
  public void beforeSetFriendRemark(
      BeforeSetFriendRemarkRequest request, StreamObserver<BeforeSetFriendRemarkResponse> reply) {
    var response = BeforeSetFriendRemarkResponse.newBuilder();
    String trimmed = Text.trim(request.getRemark());
    // An empty remark cannot be sent back: OpenIM would keep the request's.
    if (!trimmed.isEmpty() && !trimmed.equals(request.getRemark())) {
      response.setRemark(trimmed);
    }
    reply.onNext(response.build());
    reply.onCompleted();
  }

  @Override
  public void afterRemoveBlack(
      AfterRemoveBlackRequest request, StreamObserver<AfterRemoveBlackResponse> reply) {
    audit.append(
        AuditLog.line("AfterRemoveBlack")
            .put("owner_user_id", request.getOwnerUserId())
            .put("black_user_id", request.getBlackUserId()));
    reply.onNext(AfterRemoveBlackResponse.getDefaultInstance());
    reply.onCompleted();
  }
}
