"""Whatever way an address is typed, and wherever: one account and the right inbox, or a refusal."""

from __future__ import annotations

import pytest

from app.users import Identity, User
from tests.functional.identities.conftest import ADD, CHANGE, CONFIRM, NEW
from tests.sinks import code_in

pytestmark = pytest.mark.one_database

SAME = {
    "full-width at": "ada\uff20new.example",
    "full-width letters": "\uff41\uff44\uff41@new.example",
    "capitals": "ADA@New.Example",
    "blanks around": "  ada@new.example ",
    "no-break space": "\u00a0ada@new.example",
}
OTHERS = {
    "dotless i": "m\u0131ke@new.example",
    "zero-width space": "ada@new.example\u200b",
    "two at": "a@x@new.example",
    "two addresses": "a@new.example,b@new.example",
    "semicolon": "a@new.example;b@new.example",
    "cyrillic a": "\u0430da@new.example",
    "angle brackets": "Ada <ada@new.example>",
    "line end": "ada@new.example\r\nBcc: eve@new.example",
    "space within": "a da@new.example",
    "full-width comma": "a@new.example\uff0cb@new.example",
    "right-to-left": "\u202eada@new.example",
    "too long": "a@" + "x." * 130 + "example",
}
ENTRIES = {"register": ("/register", "email"), "change": (CHANGE, "email"), "add": (ADD, "email")}


@pytest.mark.parametrize("typed", SAME.values(), ids=SAME)
@pytest.mark.parametrize("path", [CHANGE, ADD])
def test_another_spelling_is_the_same_address(hers, ada, mail_to, deliver, rows, path, typed):
    assert hers.post(path, email=typed).ok
    assert hers.post(CONFIRM, passcode=code_in(mail_to(NEW))).ok
    assert NEW in [row.value for row in rows(Identity)]


@pytest.mark.parametrize("typed", SAME.values(), ids=SAME)
def test_it_opens_one_account_and_signs_in_to_it(wire, people, mail_to, deliver, rows, typed):
    person = people.open(email=NEW)
    assert wire.post("/us-signin/send-code", identity=typed, chosen_method="email").ok
    assert wire.post("/us-signin", identity=typed, passcode=code_in(mail_to(NEW))).ok
    assert wire.signed_in_as() == person.email
    wire.elsewhere().post("/register", email=typed)
    assert len(rows(User)) == 1


@pytest.mark.parametrize("typed", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_what_looks_like_one_is_refused(hers, people, deliver, rows, entry, typed):
    people.open(email=NEW)
    people.open(email="mike@new.example")
    path, field = ENTRIES[entry]
    browser = hers.elsewhere() if entry == "register" else hers
    answer = browser.post(path, **{field: typed})
    assert (answer.status, answer.codes) == (400, ["invalid_email_address"])
    assert (deliver(), len(rows(User))) == ([], 3)


@pytest.mark.parametrize("typed", OTHERS.values(), ids=OTHERS)
def test_and_signs_nobody_in(wire, people, deliver, typed):
    people.open(email=NEW)
    people.open(email="mike@new.example")
    assert wire.post("/us-signin/send-code", identity=typed, chosen_method="email").status in (200, 400)
    assert deliver() == []


def test_a_kelvin_sign_is_a_k(hers, mail_to, rows):
    assert hers.post(ADD, email="\u212aarl@new.example").ok
    assert hers.post(CONFIRM, passcode=code_in(mail_to("karl@new.example"))).ok
    assert "karl@new.example" in [row.value for row in rows(Identity)]
