"""The content of messages: JSON as a rule, but a client may send any string there.

It is not read into dictionaries: of two members with one name they keep one, and a client may show the other. The
strings are found where they stand instead, which also leaves every byte around a changed one as it was.
"""

import json
import re
from collections.abc import Collection

from example_policy import text

# In JSON a quote begins a string or ends it, unless it is escaped, so a match never begins inside a string. The groups:
# a string; its colon, if it is a name; and that member's value, if it is a string. ("++" and "*+" do not keep the way
# back, which for a long string would take much memory; one without an end goes to the end, lest each of its escaped
# quotes is tried as the beginning of another.)
_STRING = r'"(?:[^"\\]++|\\.)*+"?'
_STRINGS = re.compile(rf"({_STRING})(?:([ \t\r\n]*+:[ \t\r\n]*+)({_STRING})?)?", re.DOTALL)


def holds_word(content: str, lower_words: Collection[str]) -> bool:
    """Whether a client could show one of the words, which are in lower case.

    One of the strings in the content holds it, or the content is no JSON and holds it itself. The content type says
    nothing that could be trusted.
    """
    return (not _is_json(content) and text.holds_word(content, lower_words)) or _strings_hold(content, lower_words)


def mask_phone_numbers(content: str) -> str:
    """The content with the phone numbers in its text masked: in each string named "content" or "text", wherever it is.

    Everything else, such as users' IDs, stays as it was. So does content that is no JSON object: OpenIM takes nothing
    else in its place.
    """
    return _STRINGS.sub(_mask, content) if _is_object(content) else content


def _strings_hold(json_text: str, lower_words: Collection[str]) -> bool:
    """Looks into the strings of a JSON text, and of the JSON that they hold themselves."""
    for found in _STRINGS.finditer(json_text):
        value = _unquote(found[3] if found[2] else found[1])
        if text.holds_word(value, lower_words) or _strings_hold(value, lower_words):
            return True
    return False


def _mask(found: re.Match[str]) -> str:
    name, colon, literal = found.groups()
    # Clients read names as Go does, in any case.
    if literal is None or _unquote(name).lower() not in ("content", "text"):
        return found[0]
    value = _unquote(literal)
    # The content of a quoted message can stand here.
    masked = mask_phone_numbers(value) if _is_object(value) else text.mask_phone_numbers(value)
    return found[0] if masked == value else name + colon + _quote(masked)


def _unquote(literal: str | None) -> str:
    try:
        return str(json.loads(literal or '""'))
    except ValueError:  # No JSON, and then it has been looked at as it is.
        return ""


def _quote(value: str) -> str:
    # Half a surrogate pair, which JSON can hold but protobuf cannot, goes back to its escape: \ud800.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")


def _is_json(content: str) -> bool:
    try:
        _JSON.decode(content)
    except (ValueError, RecursionError):  # What is nested too deeply cannot be read here.
        return False
    return True


def _is_object(content: str) -> bool:
    return content.lstrip(" \t\r\n").startswith("{") and _is_json(content)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Numbers are not looked at, so they are not read either: Python refuses integers of thousands of digits.
_JSON = json.JSONDecoder(parse_int=lambda _: None, parse_float=lambda _: None, parse_constant=_refuse)
