package com.example.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class MessageTextTest {

  @Test
  void findsTheTextOfEachType() {
    String content = "{\"content\":\"a\",\"text\":\"b\",\"quoteMessage\":{\"text\":\"c\"}}";
    assertEquals("a", MessageText.find(101, content).orElseThrow().text());
    assertEquals("b", MessageText.find(106, content).orElseThrow().text());
    assertEquals("b", MessageText.find(114, content).orElseThrow().text());
    assertTrue(MessageText.find(118, content).isEmpty());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "spam",
        "\"spam\"",
        "[{\"content\":\"spam\"}]",
        "{\"content\":\"spam\"",
        "{\"content\":\"spam\"} {}",
        "{\"content\":\"spam\",}",
        "{\"content\":\"spam\",\"a\":01}",
        "{\"content\":\"\\u12\"}",
        "{\"content\":\"\n\"}",
        "{\"content\":null}",
        "{\"content\":{\"content\":\"spam\"}}",
        "{\"text\":\"spam\"}",
      })
  void leavesEverythingElseAlone(String content) {
    assertTrue(MessageText.find(101, content).isEmpty());
  }

  @Test
  void replacesTheTextAlone() {
    String before = " { \"é😀\" : [1.10, 1e400, -0, \"\\ud800\", \"\\u003c<\\/\"], \"text\" : ";
    String after =
        " , \"quoteMessage\":{\"seq\":12345678901234567890, \"text\":\"x\"},\"n\":null } ";
    MessageText found = MessageText.find(106, before + "\"a\\u0062c\"" + after).orElseThrow();
    assertEquals("abc", found.text());
    assertEquals(before + "\"<\\\"😀\\u0000/\"" + after, found.replacedBy("<\"😀\0/"));
  }

  @Test
  void keepsHalfASurrogatePair() {
    String content = "{\"content\":\"\\ud83d 😀 \\ude00\"}";
    MessageText found = MessageText.find(101, content).orElseThrow();
    assertEquals(content, found.replacedBy(found.text()));
  }

  @Test
  void takesTheLastOfTwo() {
    MessageText found =
        MessageText.find(101, "{\"content\":\"a\",\"content\":\"b\"}").orElseThrow();
    assertEquals("{\"content\":\"a\",\"content\":\"c\"}", found.replacedBy("c"));
  }

  @Test
  void readsWhatIsVeryLong() {
    String content =
        "{\"a\":1%s,\"b%s\":%s1%s,\"content\":\"spam%s\"}"
            .formatted(
                "0".repeat(2_000),
                "b".repeat(100_000),
                "[".repeat(9_000),
                "]".repeat(9_000),
                " ".repeat(4_000_000));
    MessageText found = MessageText.find(101, content).orElseThrow();
    assertEquals(content, found.replacedBy(found.text()));
  }
}
