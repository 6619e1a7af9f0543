import pytest

from example_policy.text import holds_word, mask_phone_numbers


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
