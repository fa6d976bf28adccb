"""/activity: people see what happened at their account, including attempts by others, and only their own."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from app.account.activity import DESCRIPTIONS, DIFFERS_BY, WARNINGS
from app.audit import Event
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in

EVIL = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"


@pytest.fixture
def ada(people):
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


@pytest.fixture
def here(wire, ada):
    """The browser that Ada views the page with."""
    return sign_in(wire, ada)


@pytest.fixture
def happen(app):
    """Records events of someone, that many seconds apart up to now, oldest first."""

    def write(user_id, *names, apart=1, **facts):
        from app import clock
        from app.extensions import db

        nobody, now = dict.fromkeys(("support_id", "request_id", "address", "agent"), ""), clock.now()
        with app.app_context():
            for number, name in enumerate(names):
                at = now + timedelta(seconds=number * apart)
                db.session.add(Event(at=at, name=name, user_id=user_id, facts=facts, **nobody))
                db.session.flush()
            db.session.commit()

    return write


def texts(answer) -> list[str]:
    """Return the texts of a response, in order."""
    if answer.language == "json":
        return [event["text"] for event in answer.json["events"]]
    return re.findall(r'<p class="way-what">(.*?)</p>', answer.text)


def test_activity_requires_sign_in(wire):
    assert wire.get("/activity").status == (401 if wire.language == "json" else 302)


def test_activity_lists_events_newest_first(here, ada):
    sign_in(here.elsewhere(), ada)
    here.post("/sessions/end-others")
    assert texts(here.get("/activity")) == ["Signed out everywhere else", "Signed in", "Signed in"]


def test_failed_sign_in_is_listed_with_browser_and_ip_address(here, ada):
    here.elsewhere(agent=EVIL, address="198.51.100.7").post("/us-signin", identity=ada.email, passcode="00000000")
    answer = here.get("/activity")
    assert texts(answer)[0] == "Wrong code entered"
    assert "198.51.100.7" in answer.text
    assert "Firefox on Ubuntu" in answer.text
    if here.language == "json":
        assert (answer.json["events"][0]["event"], answer.json["events"][0]["warning"]) == ("sign_in.failed", True)


def test_activity_excludes_events_of_other_users(here, ada, people, happen):
    eve = people.open(email="eve@example.com")
    happen(eve.id, "factor.removed")
    happen(None, "sign_in.failed", reason="wrong_code")
    assert "Sign-in method removed" not in texts(here.get("/activity"))
    assert "Wrong code entered" not in texts(here.get("/activity"))


def test_api_client_reads_activity_with_its_token(program, ada):
    assert give_token(program, ada).get("/activity").json["events"]


def test_events_older_than_90_days_are_not_listed(here, ada, happen, clock):
    with clock.travel(-90 * 24 * 3600 - 60):
        happen(ada.id, "factor.removed")
    with clock.travel(-90 * 24 * 3600 + 60):
        happen(ada.id, "factor.added")
    assert "Sign-in method added" in texts(here.get("/activity"))
    assert "Sign-in method removed" not in texts(here.get("/activity"))


def test_internal_events_are_not_listed(here, ada, happen):
    before = texts(here.get("/activity"))
    happen(ada.id, "crypto.mismatch", "limit.hit", "budget.exhausted", "something.new", budget="sms_countries")
    assert texts(here.get("/activity")) == before


def test_event_facts_expose_only_the_method(json_wire, ada, happen):
    sign_in(json_wire, ada)
    happen(ada.id, "sign_in.succeeded", method="email", session="5e55107e", message="m3554ge", error="e44o4")
    answer = json_wire.get("/activity")
    assert answer.json["events"][0]["method"] == "email"
    assert [secret for secret in ("5e55107e", "m3554ge", "e44o4") if secret in answer.text] == []


def test_activity_exposes_no_code_token_or_id_after_a_sign_in(wire, ada, mail_to, rows):
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    code = code_in(mail_to(ada.email))
    wire.post("/us-signin", identity=ada.email, passcode=code)
    answer = wire.get("/activity")
    ids = {event.challenge_id for event in rows(Event) if event.challenge_id}
    marks = {event.facts["session"] for event in rows(Event, name="sign_in.succeeded")}
    assert [secret for secret in (code, *ids, *marks, *wire.cookies.values()) if secret in answer.text] == []
    assert {"Sign-in code requested", "Signed in from a new browser"} <= set(texts(answer))


def older(answer) -> str | None:
    """Return the path of the next page."""
    if answer.language == "json":
        return answer.json["older"] and f"/activity?before={answer.json['older']}"
    return next((link for link in answer.page.links if link.startswith("/activity?before=")), None)


@pytest.mark.parametrize("apart", [1, 0], ids=["one after the other", "all at one moment"])
def test_pagination_has_no_gaps_or_duplicates(here, ada, happen, clock, apart):
    clock.shift(60)
    happen(ada.id, *["factor.added", "factor.removed"] * 60, apart=apart)
    clock.shift(600)
    pages, path = [], "/activity"
    while path:
        answer = here.get(path)
        pages.append(texts(answer))
        path = older(answer)
        happen(ada.id, "browser.forgotten")
    told = [text for page in pages for text in page if text.startswith("Sign-in method")]
    assert told == ["Sign-in method removed", "Sign-in method added"] * 60
    assert [len(page) for page in pages] == [50, 50, 21]


@pytest.mark.one_database
@pytest.mark.parametrize("before", ["", "x", "%00", "2026-11-24T00:00:00+00:00 1", f"v1.00000000.{'a' * 80}"])
def test_invalid_pagination_cursor_is_rejected(here, before):
    answer = here.get(f"/activity?before={before}")
    assert answer.status == 400
    assert "read this value. Check it and try again." in answer.text


@pytest.mark.both_databases
def test_pagination_cursor_of_another_user_is_rejected(json_wire, ada, people, happen):
    happen(ada.id, *["factor.added"] * 60)
    path = older(sign_in(json_wire, ada).get("/activity"))
    assert json_wire.get(path).ok
    eve = sign_in(json_wire.elsewhere(), people.open(email="eve@example.com"))
    assert eve.get(path).status == 400


@pytest.mark.both_databases
def test_pagination_cursor_is_opaque(json_wire, ada, happen):
    happen(ada.id, *["factor.added"] * 60)
    sign_in(json_wire, ada)
    first, second = older(json_wire.get("/activity")), older(json_wire.get("/activity"))
    assert first != second
    assert json_wire.get(first).json["events"] == json_wire.get(second).json["events"]


@pytest.mark.one_database
def test_query_count_does_not_depend_on_number_of_events(here, ada, happen, statements):
    def cost() -> int:
        with statements() as seen:
            here.get("/activity")
        assert {statement.split()[0] for statement in seen} == {"SELECT"}
        return len(seen)

    before = cost()
    happen(ada.id, *["factor.added"] * 60)
    assert cost() == before == (2 if here.language == "json" else 5)


@pytest.mark.one_database
def test_every_described_event_is_emitted_by_the_app():
    root = Path(__file__).parents[3] / "app"
    source = "".join(path.read_text() for path in root.rglob("*.py") if path.name != "events.py")
    named = {key.partition(":")[0] for key in DESCRIPTIONS} | set(DIFFERS_BY) | set(WARNINGS)
    assert [name for name in named if f'"{name}"' not in source] == []
