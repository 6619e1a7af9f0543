package com.example.policy;

import io.grpc.Status;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Events as lines of JSON. hookgate delivers each at least once; here each stands once, for as long
 * as the process runs. After a restart, or in another replica, an event can be written again. A
 * service that keeps events in a database has it refuse the second one, in the transaction of the
 * effect: INSERT … ON CONFLICT (event_id) DO NOTHING.
 */
final class AuditLog {

  private static final Logger LOG = System.getLogger(AuditLog.class.getName());

  private static final int REMEMBERED_EVENTS = 10_000;

  private final WritableByteChannel out;

  /** A failed write has left half a line behind. */
  private boolean torn;

  /** The IDs of the last events written; the oldest one is forgotten first. */
  private final Map<String, Boolean> written =
      new LinkedHashMap<>() {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
          return size() > REMEMBERED_EVENTS;
        }
      };

  /**
   * Opens the log.
   *
   * @param out unbuffered, so that a line is out when it is written
   */
  AuditLog(WritableByteChannel out) {
    this.out = out;
  }

  /** The beginning of a line: the event, and what the metadata of the call say of it. */
  static ObjectNode line(String event) {
    return JsonMapper.shared()
        .createObjectNode()
        .put("event", event)
        .put("operation_id", CallInterceptor.OPERATION_ID.get())
        .put("event_id", CallInterceptor.EVENT_ID.get());
  }

  /** Writes the line, unless one with the same event ID was written already. */
  void append(ObjectNode line) {
    String eventId = line.get("event_id").stringValue();
    // Both deliveries of an event may come at once: looking and writing are one step.
    synchronized (this) {
      if (written.containsKey(eventId)) {
        return;
      }
      // A new line keeps half a line and a whole one apart.
      ByteBuffer bytes = StandardCharsets.UTF_8.encode((torn ? "\n" : "") + line + "\n");
      try {
        while (bytes.hasRemaining()) {
          out.write(bytes);
        }
        torn = false;
      } catch (IOException e) {
        torn |= bytes.position() > 0;
        // hookgate delivers the event again; it is not remembered, so it is written then.
        LOG.log(Level.WARNING, "cannot write to the audit log: {0}", e.getMessage());
        throw Status.UNAVAILABLE
            .withDescription("the audit line could not be written")
            .asRuntimeException();
      }
      if (!eventId.isEmpty()) {
        written.put(eventId, true);
      }
    }
  }
}
