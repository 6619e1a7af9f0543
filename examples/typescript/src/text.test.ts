import assert from "node:assert/strict";
import { test } from "node:test";
import { cutTo, maskPhoneNumbers, parseWords, textOf, withText, wordFilter } from "./text.js";

test("finds the text by content type", () => {
  assert.equal(textOf(101, '{"content":"hi"}'), "hi");
  assert.equal(textOf(106, '{"text":"hi"}'), "hi");
  assert.equal(textOf(114, '{"text":"hi","quoteMessage":{"textElem":{"content":"quoted"}}}'), "hi");
});

test("leaves alone what has no text", () => {
  assert.equal(textOf(110, '{"content":"hi"}'), undefined);
  for (const content of ["", "hi", "null", "[]", '"hi"', "{}", '{"content":1}', '{"content":"hi"', '{"text":"hi"}']) {
    assert.equal(textOf(101, content), undefined, content);
  }
});

test("replaces the text and loses no digit of the rest", () => {
  const content = '{"text":"a","quoteMessage":{"seq":12345678901234567890,"price":1.10,"tag":"<b>"},"n":1e400}';
  assert.equal(withText(114, content, "b"), content.replace('"a"', '"b"'));
});

test("replaces the text beside odd escapes and a member that is there twice", () => {
  assert.equal(
    withText(101, '{"content":"a","x":"\\ud800\\u0000","content":"b"}', "c"),
    '{"content":"c","x":"\\ud800\\u0000"}',
  );
});

test("finds words in whatever case", () => {
  const isBlocked = wordFilter(["Spam", "ÄRGER"]);
  assert.ok(isBlocked("no sPAMming"));
  assert.ok(isBlocked("so ein Ärger"));
  assert.ok(!isBlocked("ham"));
});

test("blocks nothing without words, and by no blank one", () => {
  assert.ok(!wordFilter([])("spam"));
  assert.ok(!wordFilter(["", " "])("a b"));
});

test("reads words, one a line", () => {
  assert.deepEqual(parseWords("# mine\r\nspam\r\n\n  \ntwo words\n#end"), ["spam", "two words"]);
});

test("masks phone numbers", () => {
  const cases = {
    "call +86 138-0013-8000 now": "call +** ***-****-**00 now",
    "room 1234": "room 1234",
    "123456": "123456",
    "1234567": "*****67",
    "1 2 3 4 5 6-7": "* * * * * 6-7",
    "1234  5678": "1234  5678",
    "12345678 and 8765432": "******78 and *****32",
    "٠١٢٣٤٥٦٧": "٠١٢٣٤٥٦٧",
  };
  for (const [text, masked] of Object.entries(cases)) assert.equal(maskPhoneNumbers(text), masked);
});

test("masks a huge number", () => {
  const length = 4 * 1024 * 1024;
  assert.equal(maskPhoneNumbers("1".repeat(length)), "*".repeat(length - 2) + "11");
});

test("cuts by code points", () => {
  assert.equal(cutTo(3, "abc"), undefined);
  assert.equal(cutTo(3, "abcd"), "abc");
  assert.equal(cutTo(3, "👍👍👍"), undefined);
  assert.equal(cutTo(3, "👍👍\n👍"), "👍👍\n");
});
