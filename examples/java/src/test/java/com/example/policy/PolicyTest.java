package com.example.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.MetadataUtils;
import io.openim.policy.v1.AfterRemoveBlackRequest;
import io.openim.policy.v1.BeforeAddBlackRequest;
import io.openim.policy.v1.BeforeSendSingleMsgRequest;
import io.openim.policy.v1.ChatMessage;
import io.openim.policy.v1.MessagePolicyServiceGrpc;
import io.openim.policy.v1.RelationPolicyServiceGrpc;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Calls the rpcs through a server in this process. */
final class PolicyTest {

  private final ByteArrayOutputStream audited = new ByteArrayOutputStream();
  private Server server;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws IOException {
    String name = InProcessServerBuilder.generateName();
    var audit = new AuditLog(Channels.newChannel(audited));
    server =
        Main.addPolicy(InProcessServerBuilder.forName(name), new Lookup(List.of("Spam"), 0), audit)
            .build()
            .start();
    channel = InProcessChannelBuilder.forName(name).build();
  }

  @AfterEach
  void stop() {
    channel.shutdownNow();
    server.shutdownNow();
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = '|',
      value = {
        "a blocked word | {\"content\":\"buy spam\"} | 5001",
        "another word   | {\"content\":\"buy ham\"}  | 0",
        "no JSON        | spam                     | 5001",
        "no content     | ''                       | 0",
      })
  void beforeSendSingleMsg(String name, String content, int code) {
    var message = ChatMessage.newBuilder().setContentType(101).setContent(content);
    var request = BeforeSendSingleMsgRequest.newBuilder().setMessage(message).build();
    var response = MessagePolicyServiceGrpc.newBlockingStub(channel).beforeSendSingleMsg(request);
    assertEquals(code, response.getDenial().getCode());
  }

  @Test
  void lookupEndsBeforeTheDeadline() throws Exception {
    var slow = new Lookup(List.of("spam"), 3_600_000);
    var timer = Executors.newSingleThreadScheduledExecutor();
    var deadline = Deadline.after(Lookup.REPLY_MILLIS + 10, TimeUnit.MILLISECONDS);
    try (var call = Context.current().withDeadline(deadline, timer)) {
      var e = assertThrows(StatusRuntimeException.class, () -> call.call(() -> slow.find("{}")));
      assertEquals(Status.Code.DEADLINE_EXCEEDED, e.getStatus().getCode());
    } finally {
      timer.shutdownNow();
    }
  }

  @Test
  void auditsAnEventOnce() {
    var headers = new Metadata();
    headers.put(CallInterceptor.EVENT_ID_HEADER, "e1");
    headers.put(CallInterceptor.OPERATION_ID_HEADER, "op");
    var stub =
        RelationPolicyServiceGrpc.newBlockingStub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    var request =
        AfterRemoveBlackRequest.newBuilder().setOwnerUserId("ann").setBlackUserId("bob").build();
    for (int delivery = 0; delivery < 2; delivery++) {
      stub.afterRemoveBlack(request);
    }
    assertEquals(
        "{\"event\":\"AfterRemoveBlack\",\"operation_id\":\"op\",\"event_id\":\"e1\","
            + "\"owner_user_id\":\"ann\",\"black_user_id\":\"bob\"}\n",
        audited.toString(StandardCharsets.UTF_8));
  }

  @Test
  void otherRpcsAreUnimplemented() {
    var stub = RelationPolicyServiceGrpc.newBlockingStub(channel);
    var request = BeforeAddBlackRequest.getDefaultInstance();
    var e = assertThrows(StatusRuntimeException.class, () -> stub.beforeAddBlack(request));
    assertEquals(Status.Code.UNIMPLEMENTED, e.getStatus().getCode());
  }
}
