"""Marked tokens: known at sight, whole or not, and 256 bits in each."""

from __future__ import annotations

import re
import zlib

import pytest

from app.crypto import secrets

MARK = secrets.API_PREFIX

pytestmark = pytest.mark.one_database


def test_a_token_has_its_mark_and_nothing_that_breaks_a_word():
    for _ in range(200):
        assert re.fullmatch(r"lkp_[0-9A-Za-z]{49}", secrets.prefixed_token(MARK))


def test_no_two_are_alike_and_every_digit_is_used():
    made = [secrets.prefixed_token(MARK) for _ in range(500)]
    assert len(set(made)) == 500
    assert len(set("".join(token[5:47] for token in made))) == 62


def test_a_whole_one_is_whole():
    token = secrets.prefixed_token(MARK)
    assert secrets.has_prefix(token, MARK)
    assert not secrets.has_prefix(token, "lkx_")


def test_the_check_is_crc_32_in_base_62():
    token = secrets.prefixed_token(MARK)
    number = 0
    for letter in token[-6:]:
        number = number * 62 + secrets._DIGITS.index(letter)
    assert number == zlib.crc32(token[:-6].encode())


def test_any_changed_letter_is_noticed():
    token = secrets.prefixed_token(MARK)
    for place in range(len(MARK), len(token)):
        other = "a" if token[place] != "a" else "b"
        assert not secrets.has_prefix(token[:place] + other + token[place + 1 :], MARK)


@pytest.mark.parametrize("text", ["", "lkp_", "lkp_" + "0" * 49, "lkp_" + "é" * 49, "lkp_" + "\ud800" * 49, "x" * 5000])
def test_any_text_can_be_asked_about(text):
    assert not secrets.has_prefix(text, MARK)


def test_so_many_bytes_make_so_many_letters():
    assert [len(secrets.letters(size)) for size in (16, 32, 48)] == [22, 43, 65]


def test_a_mark_may_have_letters_of_its_own():
    token = secrets.prefixed_token(secrets.REFRESH_PREFIX + secrets.letters(16))
    assert re.fullmatch(r"lkr_[0-9A-Za-z]{71}", token)
    assert secrets.has_prefix(token, secrets.REFRESH_PREFIX, 22)
    assert not secrets.has_prefix(token, secrets.REFRESH_PREFIX)
