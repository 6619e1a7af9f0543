import json

import pytest

from example_policy.text import find_text, holds_word, mask_content, mask_phone_numbers


@pytest.mark.parametrize(
    ("content_type", "content", "text"),
    [
        (101, '{"content":"hi"}', "hi"),
        (101, ' {"a" : [1, {}], "content" : "hi" , "z": null} ', "hi"),
        (101, '{"content":"a","content":"b"}', "b"),
        (101, r'{"content":"\u0000\ud800"}', "\0\ud800"),
        (106, '{"text":"hi","isAtSelf":false}', "hi"),
        (114, '{"text":"hi","quoteMessage":{"textElem":{"content":"old"}}}', "hi"),
        (114, '{"text":"hi","seq":' + "9" * 5000 + "}", "hi"),
    ],
)
def test_text_is_found(content_type, content, text):
    assert find_text(content_type, content).value == text


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hi",
        "{}",
        "{",
        "null",
        '["content"]',
        '{"content":1}',
        '{"content":null}',
        '{"text":"hi"}',
        '{"content":"hi"',
        '{"content":"hi"}}',
        '{"content":"hi",}',
        '{"content" "hi"}',
        '{1:"hi"}',
        '{"content":"hi","x":NaN}',
        '{"content":"hi","x":' + "[" * 100_000,
    ],
)
def test_what_has_no_text_is_left_alone(content):
    assert find_text(101, content) is None
    assert mask_content(101, content) is None


def test_other_content_types_are_left_alone():
    assert find_text(118, '{"content":"hi"}') is None


def test_words_are_found_whatever_their_case():
    assert holds_word("Buy SPAMware", {"spam"})
    assert holds_word("ПРИВЕТ", {"привет"})
    assert not holds_word("Buy ham", {"spam"})
    assert not holds_word("anything", set())


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("call +86 138-0013-8000 now", "call +** ***-****-**00 now"),
        ("1234567", "*****67"),
        ("123-456-7 8", "***-***-7 8"),
        ("12345678901234567890", "******************90"),
        ("0800 555 0100, 0800 555 0199", "**** *** **00, **** *** **99"),
    ],
)
def test_phone_numbers_are_masked(text, masked):
    assert mask_phone_numbers(text) == masked


@pytest.mark.parametrize("text", ["room 1234", "123456", "123  4567", "123--4567", "١٢٣٤٥٦٧٨", ""])
def test_other_numbers_are_not_masked(text):
    assert mask_phone_numbers(text) == text


def test_nothing_but_the_text_is_changed():
    rest = r'"quoteMessage":{"seq":12345678901234567890,"p":1.10,"e":1E5,"t":"a\u003cb 5550100 5550100"}, "z":-0}'
    content = '{"text": "<b> 5550100 \\"é\\u00e9😀\\"", ' + rest
    assert mask_content(114, content) == '{"text": "<b> *****00 \\"éé😀\\"", ' + rest


def test_what_utf_8_cannot_say_stays_an_escape():
    masked = mask_content(101, r'{"content":"5550100 \ud800 \u0000"}')
    assert masked == r'{"content":"*****00 \ud800 \u0000"}'
    assert json.loads(masked.encode()) == {"content": "*****00 \ud800 \0"}
