import { maskPhoneNumbers } from "./text.js";

// The content of a message is JSON as a rule, but a client may send any string there. It is not read into an object:
// of two members with one name that keeps one, and a client may show the other. Numbers would lose digits, too.

/** A string in a JSON text that is not a member's name. */
interface JsonString {
  value: string;
  /** The name of the member whose value it is; undefined in an array. */
  name: string | undefined;
  /** Where it begins and ends, with its quotes. */
  start: number;
  end: number;
}

/**
 * A test for contents in which a client could show a blocked word: one of the strings holds it, or the content is no
 * JSON and holds it itself. The content type says nothing that could be trusted.
 */
export function contentFilter(isBlocked: (text: string) => boolean): (content: string) => boolean {
  const isInStrings = (json: string): boolean => {
    for (const { value } of stringsOf(json)) {
      // A string can be JSON itself.
      if (isBlocked(value) || isInStrings(value)) return true;
    }
    return false;
  };
  return (content) => (parse(content) === undefined && isBlocked(content)) || isInStrings(content);
}

/**
 * The content with the phone numbers in its text masked: in each string named "content" or "text", wherever it is.
 * Everything else, such as users' IDs, stays as it was. So does content that is no JSON object: OpenIM takes nothing
 * else in its place.
 */
export function maskContent(content: string): string {
  if (!isObject(content)) return content;
  let masked = "";
  let end = 0;
  for (const found of stringsOf(content)) {
    // Clients read names as Go does, in any case.
    if (!["content", "text"].includes(found.name?.toLowerCase() ?? "")) continue;
    // The content of a quoted message can stand here.
    const value = isObject(found.value) ? maskContent(found.value) : maskPhoneNumbers(found.value);
    if (value === found.value) continue;
    masked += content.slice(end, found.start) + JSON.stringify(value);
    end = found.end;
  }
  return masked + content.slice(end);
}

/** The strings of a JSON text, at any depth: in JSON every second quote that is not escaped ends one. */
function* stringsOf(json: string): Generator<JsonString> {
  let start = -1;
  let name: unknown;
  let nameEnd = -1;
  // What is escaped; or a quote, with the colon that makes a name of the string that it ends.
  for (const { 0: mark, index } of json.matchAll(/\\.|"(?:\s*:\s*)?/gs)) {
    if (mark.startsWith("\\")) continue;
    if (start < 0) {
      start = index;
      continue;
    }
    const end = index + 1;
    const value = parse(json.slice(start, end));
    if (mark !== '"') {
      name = value;
      nameEnd = index + mark.length;
    } else if (typeof value === "string") {
      yield { value, name: start === nameEnd && typeof name === "string" ? name : undefined, start, end };
    }
    start = -1;
  }
}

function isObject(text: string): boolean {
  const value = parse(text);
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a JSON text says, or undefined if it is none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
