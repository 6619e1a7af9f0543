import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { contentFilter, maskContent } from "./content.js";
import { wordFilter } from "./text.js";

/** The messages that all the examples are tested with. */
const messages = JSON.parse(readFileSync(new URL("../../content.json", import.meta.url), "utf8")) as {
  words: string[];
  filter: { case: string; content: string; denied: boolean }[];
  mask: { case: string; content: string; masked: string | null }[];
};
const isBlocked = contentFilter(wordFilter(messages.words));

for (const message of messages.filter) {
  test(`word: ${message.case}`, () => {
    assert.equal(isBlocked(message.content), message.denied);
  });
}

for (const message of messages.mask) {
  test(`mask: ${message.case}`, () => {
    assert.equal(maskContent(message.content), message.masked ?? message.content);
  });
}

test("overlooks nothing in what is hard to read", () => {
  for (const content of [
    "[".repeat(100_000) + "spam",
    `{"x":${"[".repeat(9_000)}${"]".repeat(9_000)},"content":"\\u0073pam"}`,
    `{"content":"${"\\n".repeat(8_000_000)}\\u0073pam"}`,
    `{"content":"${'\\"'.repeat(1_000_000)}\\u0073pam"}`,
    `[${'"",'.repeat(100_000)}"\\u0073pam"]`,
  ]) {
    assert.ok(isBlocked(content), content.slice(0, 40));
  }
});

test("reads a string without an end once", () => {
  assert.ok(!isBlocked('"' + '\\"'.repeat(1_000_000)));
});

test("keeps half of a surrogate pair", () => {
  assert.equal(maskContent('{"content":"5550100 \\ud800"}'), '{"content":"*****00 \\ud800"}');
});
