"""Prefixed tokens: recognizable, with a checksum, and 256 random bits."""

from __future__ import annotations

import re
import zlib

import pytest

from app.crypto import secrets

MARK = secrets.API_PREFIX

pytestmark = pytest.mark.one_database


def test_token_has_its_prefix_and_only_alphanumerics():
    for _ in range(200):
        assert re.fullmatch(r"lkp_[0-9A-Za-z]{49}", secrets.prefixed_token(MARK))


def test_tokens_are_unique_and_use_the_whole_alphabet():
    made = [secrets.prefixed_token(MARK) for _ in range(500)]
    assert len(set(made)) == 500
    assert len(set("".join(token[5:47] for token in made))) == 62


def test_intact_token_is_recognized_by_its_prefix():
    token = secrets.prefixed_token(MARK)
    assert secrets.has_prefix(token, MARK)
    assert not secrets.has_prefix(token, "lkx_")


def test_checksum_is_crc_32_in_base_62():
    token = secrets.prefixed_token(MARK)
    number = 0
    for letter in token[-6:]:
        number = number * 62 + secrets._DIGITS.index(letter)
    assert number == zlib.crc32(token[:-6].encode())


def test_any_changed_character_fails_the_checksum():
    token = secrets.prefixed_token(MARK)
    for place in range(len(MARK), len(token)):
        other = "a" if token[place] != "a" else "b"
        assert not secrets.has_prefix(token[:place] + other + token[place + 1 :], MARK)


@pytest.mark.parametrize("text", ["", "lkp_", "lkp_" + "0" * 49, "lkp_" + "é" * 49, "lkp_" + "\ud800" * 49, "x" * 5000])
def test_arbitrary_text_is_not_recognized_as_a_token(text):
    assert not secrets.has_prefix(text, MARK)


def test_length_of_random_letters_follows_the_number_of_bytes():
    assert [len(secrets.letters(size)) for size in (16, 32, 48)] == [22, 43, 65]


def test_token_prefix_may_include_an_identifier():
    token = secrets.prefixed_token(secrets.REFRESH_PREFIX + secrets.letters(16))
    assert re.fullmatch(r"lkr_[0-9A-Za-z]{71}", token)
    assert secrets.has_prefix(token, secrets.REFRESH_PREFIX, 22)
    assert not secrets.has_prefix(token, secrets.REFRESH_PREFIX)
