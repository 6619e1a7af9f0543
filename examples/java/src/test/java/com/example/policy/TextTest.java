package com.example.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class TextTest {

  @ParameterizedTest
  @CsvSource({
    "call +86 138-0013-8000 now, call +** ***-****-**00 now",
    "room 1234, room 1234",
    "123456, 123456",
    "1234567, *****67",
    "1234567 and 7654321, *****67 and *****21",
    "12  34567, 12  34567",
    "1-2-3-4-5-6-7-, *-*-*-*-*-6-7-",
    "١٢٣٤٥٦٧٨, ١٢٣٤٥٦٧٨",
  })
  void masksPhoneNumbers(String text, String masked) {
    assertEquals(masked, Text.maskPhoneNumbers(text));
  }

  @Test
  void masksHugeNumbers() {
    String masked = "*".repeat(4_000_000) + "00";
    assertEquals(masked, Text.maskPhoneNumbers("0".repeat(4_000_002)));
  }

  @Test
  void trimsEveryWhiteSpace() {
    assertEquals("Bob\u00a0B", Text.trim(" \t\u3000\u00a0Bob\u00a0B\u2007\u0085\n"));
    assertEquals("", Text.trim(" \u3000 "));
    assertEquals("", Text.trim(""));
  }

  @Test
  void cutsBetweenCharacters() {
    assertEquals("😀".repeat(30), Text.first(30, "😀".repeat(31)));
    assertEquals("😀".repeat(30), Text.first(30, "😀".repeat(30)));
    assertEquals("", Text.first(30, ""));
  }

  @Test
  void readsWords() {
    assertEquals(
        List.of("spam", "two words", "垃圾"), Text.words("# no\r\nspam\r\n\n two words \n垃圾"));
  }
}
