package com.example.policy;

import io.grpc.stub.StreamObserver;
import io.openim.policy.v1.BeforeCreateGroupRequest;
import io.openim.policy.v1.BeforeCreateGroupResponse;
import io.openim.policy.v1.BeforeSetGroupInfoExRequest;
import io.openim.policy.v1.BeforeSetGroupInfoExResponse;
import io.openim.policy.v1.BeforeSetGroupInfoRequest;
import io.openim.policy.v1.BeforeSetGroupInfoResponse;
import io.openim.policy.v1.Denial;
import io.openim.policy.v1.GroupPolicyServiceGrpc.GroupPolicyServiceImplBase;

/** A group has a name, and not too long a one. */
final class GroupPolicy extends GroupPolicyServiceImplBase {

  private static final int MAX_NAME_LENGTH = 30;

  private static final Denial NAMELESS =
      Denial.newBuilder().setCode(5002).setMessage("a group needs a name").build();

  @Override
  public void beforeCreateGroup(
      BeforeCreateGroupRequest request, StreamObserver<BeforeCreateGroupResponse> reply) {
    var response = BeforeCreateGroupResponse.newBuilder();
    String name = request.getGroup().getGroupName();
    if (isBlank(name)) {
      response.setDenial(NAMELESS);
    } else if (isTooLong(name)) {
      response.setGroupName(shortened(name));
    }
    reply.onNext(response.build());
    reply.onCompleted();
  }

  @Override
  public void beforeSetGroupInfo(
      BeforeSetGroupInfoRequest request, StreamObserver<BeforeSetGroupInfoResponse> reply) {
    var response = BeforeSetGroupInfoResponse.newBuilder();
    String name = request.getGroupName();
    // Empty means that the name is not being changed.
    if (!name.isEmpty() && isBlank(name)) {
      response.setDenial(NAMELESS);
    } else if (isTooLong(name)) {
      response.setGroupName(shortened(name));
    }
    reply.onNext(response.build());
    reply.onCompleted();
  }

  @Override
  public void beforeSetGroupInfoEx(
      BeforeSetGroupInfoExRequest request, StreamObserver<BeforeSetGroupInfoExResponse> reply) {
    var response = BeforeSetGroupInfoExResponse.newBuilder();
    String name = request.getGroupName();
    // Here absent means that the name is not being changed, and empty that it is taken away.
    if (request.hasGroupName() && isBlank(name)) {
      response.setDenial(NAMELESS);
    } else if (isTooLong(name)) {
      response.setGroupName(shortened(name));
    }
    reply.onNext(response.build());
    reply.onCompleted();
  }

  private static boolean isBlank(String name) {
    return Text.trim(name).isEmpty();
  }

  private static boolean isTooLong(String name) {
    return !shortened(name).equals(name);
  }

  private static String shortened(String name) {
    return Text.first(MAX_NAME_LENGTH, name);
  }
}
