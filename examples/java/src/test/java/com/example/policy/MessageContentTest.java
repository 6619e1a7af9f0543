package com.example.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

final class MessageContentTest {

  private static final List<String> SPAM = List.of("spam");

  /** The messages that all the examples are tested with. */
  private static JsonNode messages() throws IOException {
    return JsonMapper.shared().readTree(Files.readString(Path.of("../content.json")));
  }

  @TestFactory
  Stream<DynamicTest> findsWords() throws IOException {
    List<String> words =
        messages().get("words").valueStream().map(JsonNode::asString).map(Text::lower).toList();
    return messages()
        .get("filter")
        .valueStream()
        .map(
            message ->
                DynamicTest.dynamicTest(
                    message.get("case").asString(),
                    () ->
                        assertEquals(
                            message.get("denied").asBoolean(),
                            MessageContent.holdsOneOf(words, message.get("content").asString()))));
  }

  @TestFactory
  Stream<DynamicTest> masksPhoneNumbers() throws IOException {
    return messages()
        .get("mask")
        .valueStream()
        .map(
            message ->
                DynamicTest.dynamicTest(
                    message.get("case").asString(),
                    () -> {
                      String content = message.get("content").asString();
                      assertEquals(
                          message.get("masked").asString(content),
                          MessageContent.maskPhoneNumbers(content));
                    }));
  }

  static Stream<String> hardToRead() {
    return Stream.of(
        "[".repeat(100_000) + "spam",
        "{\"x\":" + "[".repeat(9_000) + "]".repeat(9_000) + ",\"content\":\"\\u0073pam\"}",
        "{\"x\":1" + "0".repeat(2_000) + ",\"content\":\"\\u0073pam\"}",
        "{\"" + "b".repeat(100_000) + "\":1,\"content\":\"\\u0073pam\"}",
        "{\"content\":\"" + "\\n".repeat(1_000_000) + "\\u0073pam\"}",
        "{\"content\":\"" + "\\\"".repeat(1_000_000) + "\\u0073pam\"}",
        "[" + "\"\",".repeat(100_000) + "\"\\u0073pam\"]");
  }

  @ParameterizedTest
  @MethodSource("hardToRead")
  void overlooksNothing(String content) {
    assertTrue(MessageContent.holdsOneOf(SPAM, content));
  }

  @Test
  void readsAStringWithoutAnEndOnce() {
    assertFalse(MessageContent.holdsOneOf(SPAM, "\"" + "\\\"".repeat(1_000_000)));
  }

  @Test
  void keepsHalfASurrogatePair() {
    assertEquals(
        "{\"content\":\"\\ud83d 😀 *****00 \\ude00\"}",
        MessageContent.maskPhoneNumbers("{\"content\":\"\\ud83d 😀 5550100 \\ude00\"}"));
  }
}
