package com.example.policy;

import java.util.List;
import java.util.regex.Pattern;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.TokenStreamFactory;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.json.JsonMapper;

/**
 * The content of a message: JSON as a rule, but a client may send any string there.
 *
 * <p>It is not read into a tree: of two members with one name that keeps one, and a client may show
 * the other. Nor is it written again: all around a changed string (numbers with all their digits,
 * the order, the spaces) stays as it was.
 */
final class MessageContent {

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

  private MessageContent() {}

  /**
   * Whether a client could show one of the words, which are in lower case: one of the strings in
   * the content holds it, or the content is no JSON and holds it itself. The content type says
   * nothing that could be trusted.
   */
  static boolean holdsOneOf(List<String> words, String content) {
    boolean isJson = firstToken(content) != null;
    return (!isJson && Text.holdsOneOf(words, content)) || stringsHoldOneOf(words, content);
  }

  /** Looks into the strings of a JSON text, and of the JSON that they hold themselves. */
  private static boolean stringsHoldOneOf(List<String> words, String json) {
    try (JsonParser parser = parser(json)) {
      for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
        if (token == JsonToken.VALUE_STRING) {
          String text = parser.getString();
          if (Text.holdsOneOf(words, text) || stringsHoldOneOf(words, text)) {
            return true;
          }
        }
      }
    } catch (JacksonException e) {
      // No JSON, or only up to here. The whole has been looked at as a text.
    }
    return false;
  }

  /**
   * The content with the phone numbers in its text masked: in each string named "content" or
   * "text", wherever it is. Everything else, such as users' IDs, stays as it was. So does content
   * that is no JSON object: OpenIM takes nothing else in its place.
   */
  static String maskPhoneNumbers(String content) {
    if (firstToken(content) != JsonToken.START_OBJECT) {
      return content;
    }
    var masked = new StringBuilder();
    int end = 0;
    try (JsonParser parser = parser(content)) {
      for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
        if (token == JsonToken.VALUE_STRING && isNameOfText(parser.currentName())) {
          // The order matters: the parser stands behind the string only once it was asked for.
          int start = (int) parser.currentTokenLocation().getCharOffset();
          String text = parser.getString();
          // The content of a quoted message can stand here.
          String changed =
              firstToken(text) == JsonToken.START_OBJECT
                  ? maskPhoneNumbers(text)
                  : Text.maskPhoneNumbers(text);
          if (!changed.equals(text)) {
            masked.append(content, end, start).append(quoted(changed));
            end = (int) parser.currentLocation().getCharOffset();
          }
        }
      }
    }
    return masked.append(content, end, content.length()).toString();
  }

  /** Clients read names as Go does, in any case. In an array there is none. */
  private static boolean isNameOfText(String name) {
    return "content".equalsIgnoreCase(name) || "text".equalsIgnoreCase(name);
  }

  /** What a JSON text begins with; null if it is none. */
  private static JsonToken firstToken(String text) {
    try (JsonParser parser = parser(text)) {
      JsonToken first = parser.nextToken();
      parser.skipChildren();
      boolean isWhole = parser.nextToken() == null;
      return isWhole ? first : null;
    } catch (JacksonException e) {
      return null;
    }
  }

  private static JsonParser parser(String text) {
    return JSON.createParser(text.toCharArray());
  }

  private static String quoted(String text) {
    // Half of a surrogate pair ("\ud800") is no character and cannot be sent: it is escaped again.
    return LONE_SURROGATE
        .matcher(JSON.writeValueAsString(text))
        .replaceAll(half -> String.format("\\\\u%04x", (int) half.group().charAt(0)));
  }
}
