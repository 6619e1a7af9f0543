import json
from pathlib import Path

import pytest

from example_policy.content import holds_word, mask_phone_numbers

# The messages that all the examples are tested with.
MESSAGES = json.loads((Path(__file__).parents[2] / "content.json").read_text("utf-8"))
WORDS = {word.lower() for word in MESSAGES["words"]}


@pytest.mark.parametrize("message", MESSAGES["filter"], ids=lambda message: message["case"])
def test_words_are_found(message):
    assert holds_word(message["content"], WORDS) == message["denied"]


@pytest.mark.parametrize("message", MESSAGES["mask"], ids=lambda message: message["case"])
def test_phone_numbers_are_masked(message):
    content, masked = message["content"], message["masked"]
    assert mask_phone_numbers(content) == (content if masked is None else masked)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("[" * 100_000 + "spam", id="too deep"),
        pytest.param('{"x":' + "[" * 9_000 + "]" * 9_000 + r',"content":"\u0073pam"}', id="very deep"),
        pytest.param('{"x":' + "9" * 5_000 + ',"content":"spam"}', id="a very long number"),
        pytest.param(r'{"content":"' + r"\n" * 1_000_000 + 'spam"}', id="many escapes"),
        pytest.param(r'{"content":"' + r"\"" * 1_000_000 + 'spam"}', id="many quotes"),
        pytest.param("[" + '"",' * 100_000 + '"spam"]', id="many strings"),
    ],
)
def test_what_is_hard_to_read_hides_nothing(content):
    assert holds_word(content, WORDS)


def test_a_string_without_an_end_is_read_once():
    assert not holds_word('"' + r"\"" * 1_000_000, WORDS)


def test_what_utf_8_cannot_say_stays_an_escape():
    assert mask_phone_numbers(r'{"content":"5550100 \ud800"}') == r'{"content":"*****00 \ud800"}'
