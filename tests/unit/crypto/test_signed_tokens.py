"""A signed token returns what was signed, only for its purpose, and in the format of every release."""

from __future__ import annotations

import ast
import string
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.challenges.magic_links import MAGIC_LINK
from app.challenges.models import CHALLENGE_TOKEN
from app.challenges.notice_links import REPORT, UNDO
from app.crypto.encryption import KeyRing
from app.crypto.signed_tokens import Claims, SignedId, SignedToken
from app.privacy.models import UNDELETE
from app.recovery.requests import CANCEL, PROOF
from tests.architecture.sources import modules

OLD, NEW = "o" * 32, "n" * 32
RING = KeyRing([NEW])
ORIGIN = "https://sign.example"
ID, SECRET = "ab" * 16, "S" * 43
AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
ALPHABET = string.ascii_letters + string.digits + "-_."

LINKS = {"link": MAGIC_LINK, "report c": REPORT["challenge"], "report s": REPORT["session"], "undo": UNDO,
         "undelete": UNDELETE}  # fmt: skip
SCOPES = {"link": "sign_in"}

GIVEN_OUT = {
    "link": "0801d019.abababababababababababababababab.1795867200.SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS"
    ".P8Areyw5yYRWy34Sh3u5-EA4maV8qk1Xdvrtxv0tTDQ",
    "report c": "c.0801d019.abababababababababababababababab.1795867200.6lH14gyBeNYS724TANvlikTZRRC-A2wtVDYIZ2uNM40",
    "report s": "s.0801d019.abababababababababababababababab.1795867200.2hF01sQ_cAGpLlFq_moP6kYhyHZm6_KHC7WMEifRLbo",
    "undo": "0801d019.abababababababababababababababab.1795867200.91hUU3Vb4NaXR8NRCKCvMUAIIOMFbq3gjuPwGcIgdsw",
    "undelete": "0801d019.abababababababababababababababab.1795867200.F5X5EKqwy-IGVWIXcCioux9uBH1Uipqty4wqy_TXRbQ",
}
"""Made by release 0.1.0 with the key ``NEW``."""
CHALLENGE_GIVEN_OUT = f"{ID}.86b2627409cde18740d91c19b668e33ec5c81b28ce8cf69944b763994adc7fb7"
PROOF_GIVEN_OUT = (
    "v1.0801d019.jdSwyMtOzYFOhB5u.maA7HI663y9n8DtiAtGd8QvYfq-lPdo5EMziCujeXdZjRFx-G-XUwmIhTAx5cMfzE5soTe4zPOP3lnvCaA"
)
CANCEL_GIVEN_OUT = "v1.0801d019.pIeV66NwlhvZZ_ta.UMat6QVmBYav3o6ZdXqqHGaKpe2Fw3HfERzNlA_LoYJSJzhyFlCR7_ExAAJNgk7L"


def signed(name: str, ring: KeyRing = RING, origin: str = ORIGIN, at: datetime = AT) -> str:
    """Return a token of each kind for the same row."""
    secret = SECRET if LINKS[name].has_secret else ""
    return LINKS[name].sign(ring, origin, ID, at, secret=secret, scope=SCOPES.get(name, ""))


def verified(name: str, token: str, ring: KeyRing = RING, origin: str = ORIGIN) -> Claims | None:
    return LINKS[name].verify(ring, origin, token, scope=SCOPES.get(name, ""))


@pytest.mark.parametrize("name", LINKS)
def test_link_tokens_keep_the_format_of_earlier_releases(name):
    assert signed(name) == GIVEN_OUT[name]
    assert verified(name, GIVEN_OUT[name]) == Claims(ID, int(AT.timestamp()), SECRET if name == "link" else "")


def test_challenge_tokens_keep_the_format_of_earlier_releases():
    assert CHALLENGE_TOKEN.sign(RING, ID) == CHALLENGE_GIVEN_OUT
    assert CHALLENGE_TOKEN.verify(RING, CHALLENGE_GIVEN_OUT) == ID


def test_sealed_tokens_of_earlier_releases_are_accepted():
    assert PROOF.open(RING, PROOF_GIVEN_OUT) == ["7", ID, "1795867200"]
    assert CANCEL.open(RING, CANCEL_GIVEN_OUT) == [ID]


@pytest.mark.parametrize(("made_for", "read_for"), list(permutations(LINKS, 2)))
def test_link_token_is_rejected_for_every_other_purpose(made_for, read_for):
    secret = SECRET if LINKS[read_for].has_secret else ""
    mark = LINKS[read_for].mark
    other = SignedToken(LINKS[made_for].purpose, mark=mark, has_secret=bool(secret))  # alike but for the purpose
    token = other.sign(RING, ORIGIN, ID, AT, secret=secret, scope=SCOPES.get(read_for, ""))
    assert verified(read_for, signed(made_for)) is None
    if LINKS[made_for].purpose != LINKS[read_for].purpose:
        assert verified(read_for, token) is None


def test_sign_in_link_token_does_not_confirm_an_address():
    assert MAGIC_LINK.verify(RING, ORIGIN, signed("link"), scope="confirm") is None


def test_sealed_token_is_rejected_for_another_purpose():
    assert CANCEL.open(RING, PROOF.seal(RING, "7", ID, "1795867200")) is None
    assert PROOF.open(RING, CANCEL.seal(RING, ID)) is None


def test_signed_id_is_rejected_for_another_purpose():
    assert CHALLENGE_TOKEN.verify(RING, SignedId("undo").sign(RING, ID)) is None


def test_each_token_purpose_is_declared_once():
    kinds = ("SignedToken", "SignedId", "SealedToken")
    calls = [call for module in modules() for kind in kinds for call in module.calls(kind)]
    declared = [(ast.unparse(call.args[0]), *(ast.unparse(more) for more in call.keywords)) for call in calls]
    keys = [ast.unparse(call.args[0]) for module in modules() for call in module.calls("derive")]
    assert len(declared) == len(set(declared)) == len(LINKS) + 5
    assert {purpose for purpose, *_ in declared} & set(keys) == set()


@pytest.mark.parametrize("name", LINKS)
def test_link_token_of_another_origin_is_rejected(name):
    assert verified(name, signed(name, origin="https://other.example")) is None


@pytest.mark.parametrize("name", LINKS)
def test_link_token_is_accepted_with_an_older_key_and_rejected_with_an_unknown_one(name):
    assert verified(name, signed(name, KeyRing([OLD])), KeyRing([NEW, OLD])) is not None
    assert verified(name, signed(name, KeyRing([OLD]))) is None


def test_challenge_token_is_accepted_with_an_older_key_and_rejected_with_an_unknown_one():
    token = CHALLENGE_TOKEN.sign(KeyRing([OLD]), ID)
    assert CHALLENGE_TOKEN.verify(KeyRing([NEW, OLD]), token) == ID
    assert CHALLENGE_TOKEN.verify(RING, token) is None


@pytest.mark.parametrize("name", LINKS)
def test_link_token_with_a_changed_character_is_rejected(name):
    token = signed(name)
    for place, letter in enumerate(token):
        other = "1" if letter != "1" else "2"
        assert verified(name, token[:place] + other + token[place + 1 :]) is None


@pytest.mark.parametrize("extra", ["\n", " ", ".", "0"])
@pytest.mark.parametrize("name", LINKS)
def test_link_token_with_extra_characters_is_rejected(name, extra):
    assert verified(name, signed(name) + extra) is None
    assert verified(name, extra + signed(name)) is None


@given(st.text() | st.text(ALPHABET))
def test_arbitrary_text_is_rejected_without_error(text):
    assert [verified(name, text) for name in LINKS] == [None] * len(LINKS)
    assert CHALLENGE_TOKEN.verify(RING, text) is None
    assert PROOF.open(RING, text) is None


def test_token_reports_whether_it_has_expired():
    now = datetime.now(UTC)
    past, future = now - timedelta(seconds=1), now + timedelta(minutes=1)
    assert verified("undo", signed("undo", at=past)).has_expired
    assert not verified("undo", signed("undo", at=future)).has_expired
