"""Display names: setting one, where it is shown, and where it never is."""

from __future__ import annotations

import re
import unicodedata

import pytest

from app.audit import Event
from app.users import User
from tests.functional.identities.conftest import ADD, NEW
from tests.functional.web.conftest import addresses
from tests.signed_in import sign_in
from tests.sinks import Sms
from tests.wire import Wire

NAME = "/identities/name"
LOVELACE = "Ada Lovelace"


def stored(rows, person) -> str | None:
    """Return the name in someone's row."""
    (user,) = rows(User, id=person.id)
    return user.name


def test_display_name_can_be_set_changed_and_removed(hers, ada, rows):
    for typed, kept in ((LOVELACE, LOVELACE), ("Ada King", "Ada King"), ("", None)):
        answer = hers.post(NAME, name=typed)
        assert answer.ok
        assert answer.json.get("name", kept) == kept
        assert stored(rows, ada) == kept
    assert [row.name for row in rows(Event) if row.name.startswith("name.")] == ["name.set"] * 2 + ["name.removed"]


def test_display_name_is_shown_on_account_pages(hers, ada):
    assert LOVELACE not in hers.get("/").text
    hers.post(NAME, name=LOVELACE)
    for path in ("/", "/identities"):
        assert LOVELACE in hers.get(path).text
    if hers.language == "json":
        assert hers.get("/").json["user"]["name"] == hers.get("/identities").json["name"] == LOVELACE
    else:
        assert hers.get("/identities").page.value("name") == LOVELACE


def test_setting_the_same_name_records_no_change(hers, rows):
    for _ in range(2):
        assert hers.post(NAME, name=LOVELACE).ok
    assert len([row for row in rows(Event) if row.name == "name.set"]) == 1


@pytest.mark.one_database
def test_name_changes_are_limited_to_20_an_hour_across_ip_addresses(hers, ada, people, rows):
    there = sign_in(hers.elsewhere(address="192.0.2.7"), ada)
    for number in range(10):
        assert hers.post(NAME, name=f"Ada {number}").ok
        assert there.post(NAME, name=f"{number} Ada").ok
    assert there.post(NAME, name="9 Ada").ok, "the same name again is no change"
    answer = there.post(NAME, name=LOVELACE)
    assert (answer.status, answer.codes, stored(rows, ada)) == (429, ["too_many_requests"], "9 Ada")
    assert 3500 < int(answer.headers["Retry-After"]) <= 3601
    eve = sign_in(hers.elsewhere(), people.open(email="eve@example.com"))
    assert eve.post(NAME, name="Eve").ok
    assert [event.facts["limit"] for event in rows(Event, name="limit.hit")] == ["names"]


@pytest.mark.one_database
def test_rate_limited_page_shows_wait_time_and_keeps_the_typed_name(browser_wire, ada):
    hers = sign_in(browser_wire, ada)
    answers = [hers.post(NAME, name=f"Ada {number}") for number in range(21)]
    assert 'data-wait="36' in answers[-1].text
    assert answers[-1].page.value("name") == "Ada 20"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ada \t Lovelace\n", LOVELACE),
        ("Ada\u202e Love\u200blace\u2069", LOVELACE),
        (unicodedata.normalize("NFD", "Zoë Nguyễn"), unicodedata.normalize("NFC", "Zoë Nguyễn")),
        ("愛子　佐藤", "愛子 佐藤"),
        ("\u200cمی\u200cخواهم ", "می\u200cخواهم"),
        ("\u200d Ada \u200c \ufe0f Lovelace \u200d", LOVELACE),
        ("Zoe\u034f\u0308 \u2066Nguye\u200b\u0302\u0303n", "Zo\u00eb Nguy\u1ec5n"),
        ("O'Brien-Łuczak, Jr. 3", "O'Brien-Łuczak, Jr. 3"),
        ("x" * 64, "x" * 64),
    ],
)
def test_name_is_normalized(hers, ada, rows, typed, kept):
    assert hers.post(NAME, name=typed).ok
    assert stored(rows, ada) == kept


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("x" * 65, "invalid_input_length"),
        ("boss@example.com", "name_invalid"),
        ("<b>Ada</b>", "name_invalid"),
        ("boss＠example.com", "name_invalid"),
        ("boss﹫example.com", "name_invalid"),
        ("＜b＞Ada", "name_invalid"),
        ("Ada\x07", "name_invalid"),
        ("Ada\ue000", "name_invalid"),
        ("A" + "\u0316" * 9, "name_invalid"),
        ("...", "name_invalid"),
        ("A\ufff9da", "name_invalid"),
    ],
)
def test_invalid_name_is_rejected(hers, ada, rows, typed, code):
    hers.post(NAME, name=LOVELACE)
    answer = hers.post(NAME, name=typed)
    assert (answer.status, answer.codes, list(answer.errors)) == (400, [code], ["name"])
    assert stored(rows, ada) == LOVELACE


def test_form_without_name_field_does_not_remove_the_name(hers, ada, rows):
    hers.post(NAME, name=LOVELACE)
    assert hers.post(NAME).codes == ["required"]
    assert stored(rows, ada) == LOVELACE


def test_anonymous_user_cannot_set_a_name(wire, ada, rows):
    assert wire.elsewhere().post(NAME, name="Mallory").status in (302, 401)
    assert stored(rows, ada) is None


def test_name_appears_in_no_message_or_event(hers, ada, deliver, rows):
    lure = "Locked: call 555 0100"
    assert hers.post(NAME, name=lure).ok
    hers.post(ADD, email=NEW)
    hers.post("/identities/username", username="ada-l")
    hers.elsewhere().post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    hers.elsewhere().post("/recover", identity=ada.email)
    messages = deliver()
    assert len(messages) > 3
    for each in messages:
        assert "Locked" not in (each.text if isinstance(each, Sms) else each.subject + each.text + each.html)
    assert not [row for row in rows(Event) if "Locked" in str(row.facts)]


@pytest.mark.one_database
@pytest.mark.parametrize("email", ["ada@example.com", "bo@example.com"])  # one may have the color of nobody
def test_avatar_has_the_same_color_on_every_page(browser_wire, people, email):
    here = sign_in(browser_wire, people.open(email=email))
    pages = [here.get(path).text for path in addresses(here.app, "GET") if not path.startswith("/dev")]
    shown = [re.search(r'class="avatar avatar-(\d)', page) for page in pages]
    assert len([each for each in shown if each]) > 10
    assert len({each[1] for each in shown if each}) == 1


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        (LOVELACE, "AL"),
        ("Ada M. King Lovelace", "AL"),
        ("Plato", "P"),
        ("愛子 佐藤", "愛"),
        ("محمد علي", "م"),
        ("", "A"),
    ],
)
def test_avatar_shows_initials_suited_to_the_script(browser_wire, ada, name, letters):
    here = sign_in(browser_wire, ada)
    here.post(NAME, name=name)
    shown = re.findall(r'<span class="avatar avatar-(\d)[^"]*" aria-hidden="true">([^<]*)</span>', here.get("/").text)
    assert [found for _, found in shown] == [letters] * 2
    assert len({color for color, _ in shown}) == 1


def test_avatar_without_name_or_email_is_an_icon(browser_wire, people):
    here = sign_in(browser_wire, people.open(phone="+16502530000", methods=["sms"]))
    assert re.search(r'<span class="avatar avatar-\d" aria-hidden="true"><svg class="icon"', here.get("/").text)


def test_screen_reader_hears_the_header_name_once(browser_wire, ada):
    here = sign_in(browser_wire, ada)
    here.post(NAME, name=LOVELACE)
    header = here.get("/activity").text.partition("<header")[2].partition("</header>")[0]
    assert header.count(LOVELACE) == 1
    assert 'aria-hidden="true">AL<' in header


def test_changing_the_name_requires_no_reauthentication(app, ada, clock, rows):
    here = sign_in(Wire(app, "json"), ada)
    clock.shift(3600)
    assert here.post("/identities/username", username="ada-l").status == 401
    assert here.post(NAME, name=LOVELACE).ok
    assert stored(rows, ada) == LOVELACE
