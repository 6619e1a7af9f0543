"""The text of a message: where it stands, whether it holds a blocked word, and phone numbers in it."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

# Which member of the content, a JSON object, is the text; by content type: text, text that mentions users, quote.
_TEXT_MEMBER = {101: "content", 106: "text", 114: "text"}

# Seven digits or more, with at most one blank or hyphen between two of them. A "+" in front stays as it is anyway.
# "{6,}+" does not keep the way back, which for a text of many megabytes of digits would take a hundred times as much.
_PHONE_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){6,}+")
# A digit of a phone number that at least two more follow.
_HIDDEN_DIGIT = re.compile(r"[0-9](?=[ -]?[0-9][ -]?[0-9])")


class Text(NamedTuple):
    """A message's text, and where its JSON string begins and ends in the content."""

    value: str
    start: int
    end: int


def find_text(content_type: int, content: str) -> Text | None:
    """The text of a message; None if it has none that can be read, for a client may send any string as content."""
    text_member = _TEXT_MEMBER.get(content_type)
    if text_member is None:
        return None
    found = None
    try:
        for name, value, start, end in _members(content):
            if name == text_member:  # Of two alike the last counts, as it does for most JSON readers.
                found = Text(value, start, end) if isinstance(value, str) else None
    except (ValueError, RecursionError):  # No JSON object, or one that is nested too deeply to be read.
        return None
    return found


def holds_word(text: str, lower_words: Collection[str]) -> bool:
    """Whether one of the words, which are in lower case, is somewhere in the text, whatever its case."""
    lower_text = text.lower()
    return any(word in lower_text for word in lower_words)


def mask_phone_numbers(text: str) -> str:
    """The text with "*" for every digit of a phone number but the last two."""
    return _PHONE_NUMBER.sub(lambda number: _HIDDEN_DIGIT.sub("*", number[0]), text)


def mask_content(content_type: int, content: str) -> str | None:
    """The content with the phone numbers of its text masked; None if there are none."""
    text = find_text(content_type, content)
    if text is None:
        return None
    masked = mask_phone_numbers(text.value)
    if masked == text.value:
        return None
    # Only the text is written anew. Reading the object and writing it again would change the rest: 1.10 to 1.1.
    # Half a surrogate pair, which JSON can hold but protobuf cannot, goes back to its escape: \ud800.
    literal = json.dumps(masked, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")
    return content[: text.start] + literal + content[text.end :]


def _members(content: str) -> Iterator[tuple[str, Any, int, int]]:
    """Each member of a JSON object: name, value, and where the value begins and ends."""
    at = _after(content, 0, "{")
    if content.startswith("}", at):
        mark, at = "}", _skip_space(content, at + 1)
    else:
        mark = ","
    while mark == ",":
        if not content.startswith('"', at):
            raise ValueError("no name")
        name, at = _JSON.raw_decode(content, at)
        start = _after(content, at, ":")
        value, end = _JSON.raw_decode(content, start)
        yield name, value, start, end
        at = _skip_space(content, end)
        mark, at = content[at : at + 1], _skip_space(content, at + 1)
    if mark != "}" or at != len(content):
        raise ValueError("no JSON object")


def _after(content: str, at: int, mark: str) -> int:
    at = _skip_space(content, at)
    if not content.startswith(mark, at):
        raise ValueError(f"no {mark}")
    return _skip_space(content, at + len(mark))


_SPACE = re.compile(r"[ \t\n\r]*")


def _skip_space(content: str, at: int) -> int:
    return _SPACE.match(content, at).end()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Numbers are not looked at, so they are not read either: Python refuses integers of thousands of digits.
_JSON = json.JSONDecoder(parse_int=lambda _: None, parse_float=lambda _: None, parse_constant=_refuse)
