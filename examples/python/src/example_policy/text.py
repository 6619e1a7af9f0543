"""Texts: whether one holds a blocked word, and phone numbers in it."""

import re
from collections.abc import Collection

# Seven digits or more, with at most one blank or hyphen between two of them. A "+" in front stays as it is anyway.
# "{6,}+" does not keep the way back, which for a text of many megabytes of digits would take a hundred times as much.
_PHONE_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){6,}+")
# A digit of a phone number that at least two more follow.
_HIDDEN_DIGIT = re.compile(r"[0-9](?=[ -]?[0-9][ -]?[0-9])")


def holds_word(text: str, lower_words: Collection[str]) -> bool:
    """Whether one of the words, which are in lower case, is somewhere in the text, whatever its case."""
    lower_text = text.lower()
    return any(word in lower_text for word in lower_words)


def mask_phone_numbers(text: str) -> str:
    """The text with "*" for every digit of a phone number but the last two."""
    return _PHONE_NUMBER.sub(lambda number: _HIDDEN_DIGIT.sub("*", number[0]), text)
