"""Common passwords are rejected, and uncommon ones aren't."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.authenticators import password
from app.authenticators.password import common_passwords, is_common
from app.errors import Rejected

NAMES = ["Latchkey", "login.example.com", "ada.lovelace@example.com", "countess_ada"]
COMMON = [
    "passwordpassword", "aaaaaaaaaaaaaaa", "123456789012345", "543210987654321", "qwertyuiopasdfg", "abcdefghijklmnop",
    "1qaz2wsx3edc4rfv", "iloveyouiloveyou", "P@ssw0rdP@ssw0rd", "password1234567", "Password123456!!",
    "asdfghjklasdfghjkl", "summer2024summer2024", "letmein letmein letmein", "latchkeylatchkey1", "LatchkeyLatchkey!",
    "ada.lovelace2024", "ada.lovelace2024!", "Ada.Lovelace1815?!", "!@#$%^&*()_+!@#", "!\"§$%&/()=?!\"§",
    "ada.lovelace@example.com", "countess_ada1815", "login.example.com", "abcabcabcabcabcabc", "a1a1a1a1a1a1a1a1",
]  # fmt: skip
GOOD = [
    "correct horse battery staple", "a short sentence is good", "mind the old stairs", "kT9#mQ2$vX7!pL4w",
    "zwölf boxkämpfer jagen", "seven quiet herons", "Ada likes her tea black", "пятнадцать тихих цапель",
]  # fmt: skip


@pytest.mark.parametrize("text", COMMON)
def test_easily_guessed_password_is_common(text):
    assert is_common(text, NAMES)


@pytest.mark.parametrize("text", GOOD)
def test_uncommon_password_is_not_common(text):
    assert not is_common(text, NAMES)


def test_every_listed_password_is_common_alone_and_doubled():
    assert len(common_passwords()) == 30_000
    assert [word for word in common_passwords() if not is_common(word) or not is_common(word * 2)] == []


@given(st.text(max_size=128))
def test_arbitrary_text_is_checked_without_error(text):
    assert is_common(text, NAMES) in (True, False)


@pytest.mark.parametrize("alphabet", ["4@8({[<369&#!1/|0$5+7%2", "ab", "password", "1234567890", "qwertyuiop"])
def test_checking_a_password_is_fast(alphabet):
    text = (alphabet * 128)[:127] + "~"
    is_common(text, NAMES)
    began = time.process_time()
    is_common(text, NAMES)
    assert time.process_time() - began < 0.2


@pytest.mark.one_database
@pytest.mark.parametrize("text", ["passwordpassword", "ada.lovelace2024", "LatchkeyLatchkey"])
def test_common_password_is_rejected_with_its_error_code(app, text):
    with app.app_context(), pytest.raises(Rejected) as refused:
        password.hash_password(text, ["ada.lovelace@example.com"])
    assert refused.value.code == "password_too_common"
