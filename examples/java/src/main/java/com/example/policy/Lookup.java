package com.example.policy;

import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Status;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Looks blocked words up, and stops before the deadline of the call that asks. */
final class Lookup {

  /**
   * The time before the deadline at which the policy stops waiting, so that its answer still
   * arrives.
   */
  static final long REPLY_MILLIS = 50;

  private final List<String> words;
  private final int delayMillis;

  /**
   * Holds the words in memory.
   *
   * @param delayMillis stands for the time that a moderation service would take
   */
  Lookup(List<String> words, int delayMillis) {
    // An empty word would be in every text.
    this.words = words.stream().filter(word -> !word.isBlank()).map(Text::lower).toList();
    this.delayMillis = delayMillis;
  }

  /**
   * Returns true if a client could show one of the words. Too late for a decision it throws
   * DEADLINE_EXCEEDED, and hookgate's failure rule decides.
   */
  boolean find(String content) {
    if (delayMillis <= 0) {
      return MessageContent.holdsOneOf(words, content);
    }
    Deadline deadline = Context.current().getDeadline();
    long left = deadline == null ? Long.MAX_VALUE : deadline.timeRemaining(TimeUnit.MILLISECONDS);
    Future<Boolean> answer = ask(content);
    try {
      return answer.get(left - REPLY_MILLIS, TimeUnit.MILLISECONDS);
    } catch (TimeoutException e) {
      throw Status.DEADLINE_EXCEEDED
          .withDescription("the words could not be looked up in time")
          .asRuntimeException();
    } catch (ExecutionException e) {
      throw new IllegalStateException(e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw Status.CANCELLED.asRuntimeException();
    } finally {
      answer.cancel(true);
    }
  }

  /** Call your moderation service here. A stub of gRPC takes the deadline itself: withDeadline. */
  private Future<Boolean> ask(String content) {
    Executor later = CompletableFuture.delayedExecutor(delayMillis, TimeUnit.MILLISECONDS);
    return CompletableFuture.supplyAsync(() -> MessageContent.holdsOneOf(words, content), later);
  }
}
