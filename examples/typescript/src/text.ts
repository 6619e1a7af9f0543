/** A test for texts that hold one of the words, in whatever case. */
export function wordFilter(words: string[]): (text: string) => boolean {
  // A blank word would block every message.
  const blocked = words.filter((word) => word.trim() !== "").map((word) => word.toLowerCase());
  return (text) => {
    const lower = text.toLowerCase();
    return blocked.some((word) => lower.includes(word));
  };
}

/** The words of a file: one a line, without blank lines and comments. */
export function parseWords(file: string): string[] {
  return file
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** Masks phone numbers, seven digits or more: all digits but the last two. */
export function maskPhoneNumbers(text: string): string {
  return text.replace(/\+?[0-9]+(?:[ -][0-9]+)*/g, (number) => {
    const digits = number.replace(/[^0-9]/g, "").length;
    if (digits < 7) return number;
    // The last two digits are within the last three characters, as no two separators follow each other.
    const kept = /[0-9][ -]?[0-9]$/.exec(number.slice(-3))?.[0].length ?? 0;
    return number.slice(0, -kept).replace(/[0-9]+/g, (run) => "*".repeat(run.length)) + number.slice(-kept);
  });
}

/** The first code points of a longer text, undefined where it is not longer. (`slice` could cut a character in two.) */
export function cutTo(codePoints: number, text: string): string | undefined {
  return new RegExp(`^.{${codePoints}}(?=.)`, "su").exec(text)?.[0];
}
