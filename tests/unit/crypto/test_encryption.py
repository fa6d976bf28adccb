"""Encrypted values can be decrypted only with their key and context."""

import string
import time
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.encryption import DecryptionError, KeyRing, kid_of

OLD, NEW = "o" * 32, "n" * 32
CONTEXT = ("enrolled_method", "row-1", "user-1", "authenticator")
SEALED_ALPHABET = string.ascii_letters + string.digits + "-_."
contexts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=4)


@given(st.binary(max_size=200), contexts)
def test_sealed_value_opens_in_its_context(plain, context):
    ring = KeyRing([NEW])
    assert ring.open(ring.seal(plain, *context), *context) == plain


@given(contexts, contexts)
def test_sealed_value_does_not_open_in_another_context(sealed_in, opened_in):
    ring = KeyRing([NEW])
    sealed = ring.seal(b"secret", *sealed_in)
    if sealed_in == opened_in:
        return
    with pytest.raises(DecryptionError):
        ring.open(sealed, *opened_in)


@pytest.mark.parametrize("place", range(len(CONTEXT)))
def test_sealed_value_copied_to_another_row_does_not_open(place):
    ring = KeyRing([NEW])
    elsewhere = [*CONTEXT[:place], "another", *CONTEXT[place + 1 :]]
    with pytest.raises(DecryptionError) as refusal:
        ring.open(ring.seal(b"secret", *CONTEXT), *elsewhere)
    assert not refusal.value.key_is_unknown


def test_context_encoding_is_unambiguous():
    ring = KeyRing([NEW])
    for sealed_in, opened_in in [(("ab", "c"), ("a", "bc")), (("a|b",), ("a", "b")), (("1:a",), ("a",)), (("",), ())]:
        with pytest.raises(DecryptionError):
            ring.open(ring.seal(b"secret", *sealed_in), *opened_in)


@pytest.mark.parametrize("length", [0, 1, 2, 20, 32])
def test_any_changed_character_prevents_opening(length):
    ring = KeyRing([NEW, OLD])
    sealed = ring.seal(b"s" * length, *CONTEXT)
    for place, was in enumerate(sealed):
        for other in set(SEALED_ALPHABET) - {was}:
            with pytest.raises(DecryptionError):
                ring.open(sealed[:place] + other + sealed[place + 1 :], *CONTEXT)


@given(st.text(max_size=80))
def test_arbitrary_text_does_not_open(text):
    with pytest.raises(DecryptionError):
        KeyRing([NEW]).open(text)


def test_truncated_or_extended_text_does_not_open():
    ring = KeyRing([NEW])
    sealed = ring.seal(b"secret")
    for changed in (sealed[:-1], sealed[1:], sealed + "A", sealed + "=", sealed + "\n", sealed + ".", sealed.upper()):
        with pytest.raises(DecryptionError):
            ring.open(changed)


def test_unknown_key_is_reported_by_its_id():
    sealed = KeyRing([OLD]).seal(b"secret")
    with pytest.raises(DecryptionError, match=kid_of(sealed)) as refusal:
        KeyRing([NEW]).open(sealed)
    assert refusal.value.kid == KeyRing([OLD]).kid
    assert refusal.value.key_is_unknown


def test_decryption_error_does_not_contain_the_text():
    with pytest.raises(DecryptionError) as refusal:
        KeyRing([NEW]).open("hunter2 in clear")
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.kid == ""


def test_first_key_seals_and_every_key_opens():
    old, both = KeyRing([OLD]), KeyRing([NEW, OLD])
    assert both.open(old.seal(b"secret")) == b"secret"
    assert kid_of(both.seal(b"secret")) == KeyRing([NEW]).kid == both.kid
    assert both.kids == (KeyRing([NEW]).kid, KeyRing([OLD]).kid)


def test_sealing_twice_yields_different_texts_in_the_documented_format():
    ring = KeyRing([NEW])
    one, other = ring.seal(b"secret"), ring.seal(b"secret")
    assert one != other
    assert one.split(".")[:2] == ["v1", ring.kid]
    assert len(one.split(".")[2]) == 16


def test_derived_keys_differ_by_purpose_and_key_and_are_deterministic():
    ring = KeyRing([NEW, OLD])
    keys = {ring.derive("csrf"), ring.derive("link"), ring.derive("csrf", KeyRing([OLD]).kid)}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}
    assert KeyRing([NEW]).derive("csrf") == ring.derive("csrf") == ring.derive("csrf", ring.kid)


def test_key_derivation_and_sealed_format_are_stable():
    """Values encrypted and signed by an older release must remain valid."""
    ring = KeyRing(["k" * 32])
    assert ring.kid == "5ab15161"
    assert ring.derive("csrf").hex() == "cc0056c82ecafaf1ee37c73523887bb62ca4d15c9518060ca9bc017b543eb810"
    assert ring.open("v1.5ab15161.51Fc0UB8a2ScWUGM.w1XyUBKRR-D-8G33HLZiNzcx7CVV8A", "table", "row") == b"secret"


def test_deriving_from_an_unknown_key_reports_its_id():
    with pytest.raises(DecryptionError, match="0badc0de"):
        KeyRing([NEW]).derive("csrf", "0badc0de")


@pytest.mark.parametrize("keys", [[], [""], [NEW, ""]])
def test_key_ring_without_a_usable_key_is_rejected(keys):
    with pytest.raises(ValueError, match="key"):
        KeyRing(keys)


def test_duplicate_keys_count_once():
    assert KeyRing([NEW, OLD, NEW]).kids == KeyRing([NEW, OLD]).kids


def test_key_ring_repr_shows_ids_but_no_key():
    ring = KeyRing(["correct-horse-battery-staple-1234"])
    assert repr(ring) == f"<KeyRing {ring.kid}>"


def test_kid_of_text_that_is_not_sealed_is_empty():
    assert [kid_of(text) for text in ("", "v1", "v2.00000000.a.b", "plain", "v1.0000000g.a.b")] == [""] * 5


def test_opening_takes_microseconds():
    """About 8 us where this was written; the limit allows for a slow machine and catches a key derivation per read."""
    ring = KeyRing([NEW])
    sealed = ring.seal(b"s" * 20, *CONTEXT)
    taken = timeit.repeat(lambda: ring.open(sealed, *CONTEXT), number=500, repeat=5, timer=time.thread_time)
    assert min(taken) / 500 < 40e-6
