package com.example.policy;

import java.util.Optional;
import java.util.regex.Pattern;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.TokenStreamFactory;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.json.JsonMapper;

/**
 * The text in a message's content, and where in the JSON it stands.
 *
 * <p>The JSON is not read into a tree and written again: only the text is exchanged, so that
 * everything around it (numbers with all their digits, the order, the spaces) stays as it was.
 */
record MessageText(String json, int start, int end, String text) {

  /**
   * Content is written by strangers. Jackson's own limits on numbers and names would make an object
   * with a very long one "not JSON", and so let its text pass unseen; the size of a request is
   * limited anyway, and nothing here computes with a number. Nesting stops at 10,000, as in Go.
   */
  private static final StreamReadConstraints LIMITS =
      StreamReadConstraints.builder()
          .maxNestingDepth(10_000)
          .maxNumberLength(Integer.MAX_VALUE)
          .maxNameLength(Integer.MAX_VALUE)
          .maxStringLength(Integer.MAX_VALUE)
          .build();

  private static final JsonMapper JSON =
      JsonMapper.builder(
              JsonFactory.builder()
                  .streamReadConstraints(LIMITS)
                  // No table of the names seen so far: strangers choose them.
                  .disable(TokenStreamFactory.Feature.CANONICALIZE_PROPERTY_NAMES)
                  .build())
          .build();

  private static final Pattern LONE_SURROGATE = Pattern.compile("\\p{Cs}");

  /** Empty if the content is of another type, or not what its type promises. */
  static Optional<MessageText> find(int contentType, String content) {
    String member =
        switch (contentType) {
          case 101 -> "content"; // text
          case 106, 114 -> "text"; // text that mentions users, a quote
          default -> null;
        };
    if (member == null) {
      return Optional.empty();
    }
    MessageText found = null;
    try (JsonParser parser = JSON.createParser(content.toCharArray())) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        return Optional.empty();
      }
      for (String name = parser.nextName(); name != null; name = parser.nextName()) {
        boolean isString = parser.nextToken() == JsonToken.VALUE_STRING;
        if (name.equals(member)) {
          // Where a name is there twice, the last one counts, as for most readers.
          found = isString ? at(parser, content) : null;
        }
        parser.skipChildren();
      }
      boolean isWhole = parser.nextToken() == null;
      return isWhole ? Optional.ofNullable(found) : Optional.empty();
    } catch (JacksonException e) {
      return Optional.empty();
    }
  }

  private static MessageText at(JsonParser parser, String json) {
    // The order matters: the parser stands behind the string only once it was asked for.
    int start = (int) parser.currentTokenLocation().getCharOffset();
    String text = parser.getString();
    int end = (int) parser.currentLocation().getCharOffset();
    return new MessageText(json, start, end, text);
  }

  /** The whole content with another text in it. */
  String replacedBy(String other) {
    // Half of a surrogate pair ("\ud800") is no character and cannot be sent: it is escaped again.
    String quoted =
        LONE_SURROGATE
            .matcher(JSON.writeValueAsString(other))
            .replaceAll(half -> String.format("\\\\u%04x", (int) half.group().charAt(0)));
    return json.substring(0, start) + quoted + json.substring(end);
  }
}
