"""The confirmation characters are uniformly distributed."""

from __future__ import annotations

from collections import Counter

from app.challenges.models import Challenge
from app.challenges.passcodes import CONFIRMATION_CHARACTERS, confirmation_characters_of
from app.crypto import secrets


def challenge(**different: str) -> Challenge:
    """Return a challenge as it would be issued."""
    row = {"id": secrets.row_id(), "purpose": "sign_in", "method": "email", "subject": "s", "binding": "b"}
    return Challenge(**(row | different))


def test_confirmation_characters_are_uniformly_distributed():
    root = b"r" * 20
    counts = [Counter() for _ in range(CONFIRMATION_CHARACTERS)]
    for _ in range(9000):
        for place, character in enumerate(confirmation_characters_of(challenge(), root)):
            counts[place][character] += 1
    for count in counts:
        assert set(count) == set(secrets.UNAMBIGUOUS)
        spread = sum((seen - 300) ** 2 / 300 for seen in count.values())
        assert spread < 72  # chi squared with 29 degrees of freedom: once in 60,000 runs


def test_confirmation_characters_are_deterministic_and_bound_to_the_challenge():
    one = challenge(id="0" * 32)
    told = confirmation_characters_of(one, b"root")
    assert told == confirmation_characters_of(challenge(id="0" * 32), b"root")
    bound = {
        confirmation_characters_of(challenge(id=f"{number:032x}", subject=str(number)), b"root")
        for number in range(1, 50)
    }
    assert len(bound) > 45
    assert confirmation_characters_of(challenge(id="0" * 32, binding="c"), b"root") != told
