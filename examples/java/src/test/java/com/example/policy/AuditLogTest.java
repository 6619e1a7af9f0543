package com.example.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.node.ObjectNode;

final class AuditLogTest {

  private static final String LINE =
      "{\"event\":\"AfterRemoveBlack\",\"operation_id\":\"\",\"event_id\":\"%s\"}\n";

  /** A disk with room for so many bytes. */
  private static final class Disk implements WritableByteChannel {

    private final StringBuilder content = new StringBuilder();
    private int room = 1_000;

    @Override
    public int write(ByteBuffer bytes) throws IOException {
      if (room == 0) {
        throw new IOException("no space left on device");
      }
      byte[] taken = new byte[Math.min(room, bytes.remaining())];
      bytes.get(taken);
      room -= taken.length;
      content.append(new String(taken, StandardCharsets.UTF_8));
      return taken.length;
    }

    @Override
    public boolean isOpen() {
      return true;
    }

    @Override
    public void close() {}
  }

  private final Disk disk = new Disk();
  private final AuditLog audit = new AuditLog(disk);

  private static ObjectNode line(String eventId) {
    return AuditLog.line("AfterRemoveBlack").put("event_id", eventId);
  }

  @Test
  void writesAnEventOnce() {
    IntStream.range(0, 64).parallel().forEach(i -> audit.append(line("1")));
    assertEquals(LINE.formatted("1"), disk.content.toString());
  }

  @Test
  void writesEventsWithoutIdEachTime() {
    audit.append(line(""));
    audit.append(line(""));
    assertEquals(LINE.formatted("").repeat(2), disk.content.toString());
  }

  @Test
  void writesAgainWhatFailed() {
    disk.room = 3;
    assertThrows(StatusRuntimeException.class, () -> audit.append(line("1")));
    disk.room = 1_000;
    audit.append(line("1"));
    assertEquals("{\"e\n" + LINE.formatted("1"), disk.content.toString());
  }
}
