package com.example.policy;

import java.util.List;
import java.util.Locale;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/** What the policy does with text. */
final class Text {

  /**
   * The quantifiers are possessive (++): a group under a plain + takes stack for each repetition in
   * Java, and a text of some thousand digits would overflow it.
   */
  private static final Pattern NUMBER = Pattern.compile("\\+?[0-9](?:[ -]?+[0-9])++");

  private static final int PHONE_NUMBER_DIGITS = 7;
  private static final int DIGITS_LEFT = 2;

  private Text() {}

  /** The words of a words file. */
  static List<String> words(String file) {
    return file.lines()
        .map(String::strip)
        .filter(line -> !line.isEmpty() && !line.startsWith("#"))
        .toList();
  }

  /** Lower case by Unicode, whatever language the machine is set to. */
  static String lower(String text) {
    return text.toLowerCase(Locale.ROOT);
  }

  /** Whether one of the words, which are in lower case, is somewhere in the text, in any case. */
  static boolean holdsOneOf(List<String> words, String text) {
    return words.stream().anyMatch(lower(text)::contains);
  }

  /** The text with every digit of its phone numbers but the last two replaced by a star. */
  static String maskPhoneNumbers(String text) {
    return NUMBER.matcher(text).replaceAll(Text::mask);
  }

  private static String mask(MatchResult match) {
    String number = match.group();
    long digits = number.chars().filter(Text::isDigit).count();
    if (digits < PHONE_NUMBER_DIGITS) {
      return number;
    }
    StringBuilder masked = new StringBuilder(number);
    long toMask = digits - DIGITS_LEFT;
    for (int i = 0; toMask > 0; i++) {
      if (isDigit(masked.charAt(i))) {
        masked.setCharAt(i, '*');
        toMask--;
      }
    }
    return masked.toString();
  }

  private static boolean isDigit(int c) {
    return c >= '0' && c <= '9';
  }

  /** Without the white space around it. String.strip() would leave no-break spaces. */
  static String trim(String text) {
    int start = 0;
    int end = text.length();
    while (start < end && isSpace(text.charAt(start))) {
      start++;
    }
    while (start < end && isSpace(text.charAt(end - 1))) {
      end--;
    }
    return text.substring(start, end);
  }

  private static boolean isSpace(char c) {
    return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == '\u0085';
  }

  /** The first characters of the text; an emoji outside the first plane counts as one. */
  static String first(int characters, String text) {
    boolean fits = text.codePointCount(0, text.length()) <= characters;
    return fits ? text : text.substring(0, text.offsetByCodePoints(0, characters));
  }
}
