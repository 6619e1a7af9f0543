import assert from "node:assert/strict";
import { test } from "node:test";
import { cutTo, maskPhoneNumbers, parseWords, wordFilter } from "./text.js";

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
