"""Tokens are long, digests are plain SHA-256, support IDs can be read aloud."""

import hashlib
import re

import pytest

from app.crypto import secrets


def test_token_is_256_bits_and_url_safe():
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secrets.token())


def test_row_id_is_128_bits_in_hexadecimal():
    assert re.fullmatch(r"[0-9a-f]{32}", secrets.row_id())


@pytest.mark.parametrize("make", [secrets.token, secrets.row_id])
def test_tokens_and_row_ids_are_unique(make):
    assert len({make() for _ in range(1000)}) == 1000


def test_digest_is_sha_256():
    assert secrets.digest("tökén") == hashlib.sha256("tökén".encode()).hexdigest()


def test_digest_and_comparison_accept_lone_surrogates():
    assert len(secrets.digest("\ud800")) == 64
    assert not secrets.same("\ud800", "a")


@pytest.mark.parametrize("length", [1, 4, 8, 20])
def test_reference_has_the_given_length_and_no_ambiguous_characters(length):
    seen = set("".join(secrets.reference(length) for _ in range(500)))
    assert len(secrets.reference(length)) == length
    assert seen <= set("23456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert not seen & set("0O1ILU")


def test_reference_uses_every_character_of_its_alphabet():
    assert set(secrets.reference(5000)) == set(secrets.UNAMBIGUOUS)


def test_same_compares_non_ascii_texts_of_any_length():
    assert secrets.same("größe", "größe")
    assert not secrets.same("größe", "grösse")
    assert not secrets.same("a", "")
