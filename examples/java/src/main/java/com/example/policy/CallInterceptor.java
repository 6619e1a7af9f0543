package com.example.policy;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;

/** What holds for every call: its metadata are at hand, and an exception ends it as it should. */
final class CallInterceptor implements ServerInterceptor {

  /** OpenIM's operation ID, "" without one. */
  static final Context.Key<String> OPERATION_ID = Context.keyWithDefault("operation-id", "");

  /** Unique for each webhook, and the same whenever an event comes again; "" without one. */
  static final Context.Key<String> EVENT_ID = Context.keyWithDefault("event-id", "");

  static final Metadata.Key<String> OPERATION_ID_HEADER =
      Metadata.Key.of("openim-operation-id", Metadata.ASCII_STRING_MARSHALLER);
  static final Metadata.Key<String> EVENT_ID_HEADER =
      Metadata.Key.of("hookgate-event-id", Metadata.ASCII_STRING_MARSHALLER);

  private static final Logger LOG = System.getLogger(CallInterceptor.class.getName());

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    Context context =
        Context.current()
            .withValues(
                OPERATION_ID, headers.get(OPERATION_ID_HEADER),
                EVENT_ID, headers.get(EVENT_ID_HEADER));
    return new SimpleForwardingServerCallListener<>(
        Contexts.interceptCall(context, call, headers, next)) {

      /** The handler of a unary call runs in here. */
      @Override
      public void onHalfClose() {
        try {
          super.onHalfClose();
        } catch (RuntimeException e) {
          // gRPC itself ends the call on an Error, such as OutOfMemoryError.
          fail(call, context, e);
        }
      }
    };
  }

  private static void fail(ServerCall<?, ?> call, Context context, RuntimeException e) {
    Status status;
    if (e instanceof StatusRuntimeException chosen) {
      status = chosen.getStatus();
    } else {
      // The cause is for the log; the caller gets a fixed sentence.
      String rpc = call.getMethodDescriptor().getFullMethodName();
      LOG.log(Level.ERROR, rpc + " failed, operation ID " + OPERATION_ID.get(context), e);
      status = Status.INTERNAL.withDescription("the policy service failed");
    }
    if (!call.isCancelled()) {
      call.close(status, new Metadata());
    }
  }
}
