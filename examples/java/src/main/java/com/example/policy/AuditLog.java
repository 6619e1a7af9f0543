package com.example.policy;

import io.grpc.Status;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Events as lines of JSON. hookgate delivers each at least once; here each stands once. */
final class AuditLog {

  private static final Logger LOG = System.getLogger(AuditLog.class.getName());

  private static final int REMEMBERED_EVENTS = 10_000;

  private final OutputStream out;

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
  AuditLog(OutputStream out) {
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
    byte[] bytes = (line + "\n").getBytes(StandardCharsets.UTF_8);
    // Both deliveries of an event may come at once: looking and writing are one step.
    synchronized (this) {
      if (written.containsKey(eventId)) {
        return;
      }
      try {
        out.write(bytes);
        out.flush();
      } catch (IOException e) {
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
