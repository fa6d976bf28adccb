"""All spellings of an address lead to one account and one mailbox, or are rejected."""

from __future__ import annotations

import pytest

from app.challenges.models import Challenge
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
    "zero-width space": "ada@new.example\u200b",
    "bidi marks": "\u202dada@new.example\u202c",
    "line ends": "\r\nada@new.example\n",
    "final dot": "ada@new.example.",
    "name and angle brackets": "Ada <ada@new.example>",
    "link": "mailto:ada@new.example",
    "quotes": "\u201cada@new.example\u201d",
}
OTHERS = {
    "dotless i": "m\u0131ke@new.example",
    "two at": "a@x@new.example",
    "two addresses": "a@new.example,b@new.example",
    "semicolon": "a@new.example;b@new.example",
    "cyrillic a": "\u0430da@new.example",
    "another name": "eve@new.example <ada@new.example>",
    "line end": "ada@new.example\r\nBcc: eve@new.example",
    "space within": "a da@new.example",
    "full-width comma": "a@new.example\uff0cb@new.example",
    "too long": "a@" + "x." * 130 + "example",
}
SENDS = {"/us-signin/send-code": {"chosen_method": "email"}, "/recover": {}}
"""Where a code is asked for by an identity."""

ENTRIES = {"register": ("/register", "email"), "change": (CHANGE, "email"), "add": (ADD, "email")}


@pytest.mark.parametrize("typed", SAME.values(), ids=SAME)
@pytest.mark.parametrize("path", [CHANGE, ADD])
def test_equivalent_spelling_confirms_the_same_email(hers, ada, mail_to, deliver, rows, path, typed):
    assert hers.post(path, email=typed).ok
    assert hers.post(CONFIRM, passcode=code_in(mail_to(NEW))).ok
    assert NEW in [row.value for row in rows(Identity)]


@pytest.mark.parametrize("typed", SAME.values(), ids=SAME)
def test_equivalent_spelling_signs_in_to_the_same_account(wire, people, mail_to, deliver, rows, typed):
    person = people.open(email=NEW)
    assert wire.post("/us-signin/send-code", identity=typed, chosen_method="email").ok
    assert wire.post("/us-signin", identity=typed, passcode=code_in(mail_to(NEW))).ok
    assert wire.signed_in_as() == person.email
    wire.elsewhere().post("/register", email=typed)
    assert len(rows(User)) == 1


@pytest.mark.parametrize("typed", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_lookalike_or_malformed_email_is_rejected(hers, people, deliver, rows, entry, typed):
    people.open(email=NEW)
    people.open(email="mike@new.example")
    path, field = ENTRIES[entry]
    browser = hers.elsewhere() if entry == "register" else hers
    answer = browser.post(path, **{field: typed})
    assert (answer.status, answer.codes) == (400, ["invalid_email_address"])
    assert (deliver(), len(rows(User))) == ([], 3)


@pytest.mark.parametrize("typed", OTHERS.values(), ids=OTHERS)
def test_lookalike_or_malformed_email_does_not_sign_in(wire, people, deliver, typed):
    people.open(email=NEW)
    people.open(email="mike@new.example")
    for path, more in (SENDS | {"/us-signin": {"passcode": "12345678"}}).items():
        answer = wire.post(path, identity=typed, **more)
        assert (answer.status, answer.codes) == (400, ["identity_invalid"]), path
    assert deliver() == []


def test_kelvin_sign_is_normalized_to_k(hers, mail_to, rows):
    assert hers.post(ADD, email="\u212aarl@new.example").ok
    assert hers.post(CONFIRM, passcode=code_in(mail_to("karl@new.example"))).ok
    assert "karl@new.example" in [row.value for row in rows(Identity)]


NUMBERS = {
    "bidi": "\u202d+49 1512 3456789\u202c",
    "word joiner": "+49 1512\u2060 3456789",
    "selector": "+49 1512 3456789\ufe0d",
    "link": "tel:+49-1512-3456789",
    "full-width": "\uff0b\uff14\uff19 \uff11\uff15\uff11\uff12 \uff13\uff14\uff15\uff16\uff17\uff18\uff19",
}


@pytest.mark.parametrize("typed", NUMBERS.values(), ids=NUMBERS)
def test_phone_number_is_recognized_in_any_copied_form(wire, people, text_to, typed):
    bob = people.open(phone="+4915123456789", email="bob@new.example", methods=["sms"])
    assert wire.post("/us-signin/send-code", identity=typed, chosen_method="sms").ok
    assert wire.post("/us-signin", identity=typed, passcode=code_in(text_to(bob.phone))).ok


@pytest.mark.parametrize("typed", ["zz zz", "zz@", "+49 1", "x", "ada@new", "tel:ada", "\u202e"])
def test_malformed_identity_is_rejected_without_a_lookup(wire, deliver, rows, statements, typed):
    browser = wire.elsewhere()
    browser.fetch_csrf()
    for path, more in SENDS.items():
        with statements() as seen:
            answer = browser.post(path, identity=typed, **more)
        assert (answer.status, answer.codes) == (400, ["identity_invalid"])
        assert "isn't an email address, a phone number or a username" in answer.text.replace("&#39;", "'")
        assert not [one for one in seen if "identity" in one.lower()]
    assert (deliver(), rows(Challenge)) == ([], [])
