"""A code is the same code, however it was typed or pasted (ASVS 2.2.1)."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app import user_input

SCRIPTS = [zero for zero in map(chr, range(0x110000)) if unicodedata.decimal(zero, None) == 0]
"""The zero of each script that Unicode has digits of; the other nine follow it."""

UNSEEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u202d\u2060\u2066\u2069\ufe0d\ufeff\U000e0020"
GAPS = " \t\r\n\u0085\u00a0\u2009\u202f\u2028\u3000"
DASHES = "-\u2010\u2011\u2013\u2014\u2212\uff0d\u30fc"
EXTRAS = st.text(st.sampled_from(UNSEEN + GAPS + DASHES), max_size=4)


@st.composite
def codes(draw):
    """Return the digits of a code, and the same code as typed or pasted."""
    code = draw(st.text("0123456789", min_size=1, max_size=16))
    written = draw(EXTRAS)
    for digit in code:
        written += chr(ord(draw(st.sampled_from(SCRIPTS))) + int(digit)) + draw(EXTRAS)
    return code, written


@given(codes())
def test_code_in_unicode_digits_with_invisible_characters_is_normalized(both):
    code, written = both
    assert user_input.digits(written, len(code)) == code
    assert user_input.digits(written, len(code) + 1) is None


@given(st.text(), st.integers(1, 9))
@example("²³⁴⁵⁶⁷", 6)
@example("①②③④⑤⑥", 6)
@example("12345½", 6)
@example("12345O", 6)
@example("-1234567", 8)
def test_code_input_is_ascii_digits_or_rejected(text, length):
    typed = user_input.digits(text, length)
    assert typed is None or (len(typed) == length and set(typed) <= set("0123456789"))


@pytest.mark.parametrize("text", ["12345a", "1234５.6", "12345", "1234567", "", "¹²x", "1" * 201])
def test_malformed_code_is_rejected(text):
    assert user_input.digits(text, 6) is None


def test_full_width_letters_are_normalized():
    assert user_input.compact("\u200fＡＢ\u3000ｃ－Ｄ\n") == "ABcD"


@pytest.mark.parametrize("character", UNSEEN + "\u3164\u115f\u034f", ids=ascii)
def test_invisible_characters_are_removed(character):
    assert user_input.visible(f"a{character}b c") == "ab c"


@pytest.mark.parametrize(
    ("text", "shows"),
    [("❤\ufe0f key", True), ("work", True), ("", False), (" \ufe0f", False), ("\u3164", False), ("a\u034fb", False)],
)
def test_text_with_invisible_characters_is_detected(text, shows):
    assert user_input.shows_all(text) is shows
