"""/activity by day, with a filter; an own mistake is no warning, an attempt by someone else is one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.account.activity import DESCRIPTIONS, FILTERS, WARNINGS, names_shown
from app.i18n import day_text, use_language
from tests.functional.account.test_activity import EVIL, older, texts
from tests.signed_in import sign_in
from tests.sinks import code_in

NAMES = {key.partition(":")[0] for key in DESCRIPTIONS}


@pytest.fixture
def ada(people):
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


@pytest.fixture
def happen(app):
    """Records one event of someone, now, from one browser."""

    def write(user_id, name, agent="Firefox on Linux", address="127.0.0.1", **facts):
        from app import clock
        from app.audit import Event
        from app.extensions import db

        ids = dict.fromkeys(("support_id", "request_id"), "")
        with app.app_context():
            db.session.add(
                Event(at=clock.now(), name=name, user_id=user_id, facts=facts, agent=agent, address=address, **ids)
            )
            db.session.commit()

    return write


def alarms(answer) -> list[str]:
    """Return the texts that a response marks as warnings."""
    if answer.language == "json":
        return [event["text"] for event in answer.json["events"] if event["warning"]]
    return re.findall(r'way-icon-warning">.*?<p class="way-what">(.*?)</p>', answer.text, re.DOTALL)


@pytest.mark.one_database
def test_every_event_is_either_a_sign_in_or_a_change():
    sign_ins, changes = names_shown("sign_ins", NAMES), names_shown("changes", NAMES)
    assert {*sign_ins, *changes} == NAMES
    assert not {*sign_ins} & {*changes}
    assert {*names_shown("warnings", NAMES)} == WARNINGS
    assert {*names_shown("all", NAMES)} == NAMES


@pytest.mark.parametrize(
    ("show", "listed"),
    [
        ("all", ["API token created", "Failed sign-in attempt", "Sign-in method added", "Signed in"]),
        ("sign_ins", ["Failed sign-in attempt", "Signed in"]),
        ("changes", ["API token created", "Sign-in method added"]),
        ("warnings", ["Failed sign-in attempt"]),
    ],
)
def test_filter_lists_matching_events_only(wire, ada, happen, show, listed):
    sign_in(wire, ada)
    for name in ("factor.added", "sign_in.failed", "token.created"):
        happen(ada.id, name)
    answer = wire.get(f"/activity?show={show}")
    assert sorted(texts(answer)) == listed
    if answer.language == "form":
        links = {"/activity", *(f"/activity?show={name}" for name in FILTERS if name != "all")}
        assert links <= set(answer.page.links)
        marked = re.findall(r'<a href="([^"]+)" aria-current="true">', answer.text)
        assert marked == [f"/activity?show={show}" if show != "all" else "/activity"]


@pytest.mark.one_database
@pytest.mark.parametrize("show", ["", "x", "ALL", "all,changes", "%00", "a" * 4000])
def test_unknown_filter_is_rejected(wire, ada, show):
    answer = sign_in(wire, ada).get(f"/activity?show={show}")
    assert answer.status == 400
    assert "read this value. Check it and try again." in answer.text
    if answer.language == "json":
        assert answer.codes == ["api_error"]


@pytest.mark.both_databases
def test_filter_is_kept_across_pages(browser_wire, ada, happen):
    sign_in(browser_wire, ada)
    for name in ["factor.added", "session.ended"] * 52:
        happen(ada.id, name)
    first = browser_wire.get("/activity?show=changes")
    second = browser_wire.get(older(first).replace("&amp;", "&"))
    assert [set(texts(page)) for page in (first, second)] == [{"Sign-in method added"}] * 2
    assert len(texts(first)) == 50
    assert "/activity?show=changes" in second.page.links
    assert older(second) is None


@pytest.mark.both_databases
def test_filter_is_kept_across_json_pages(json_wire, ada, happen):
    sign_in(json_wire, ada)
    for name in ["factor.added", "session.ended"] * 52:
        happen(ada.id, name)
    first = json_wire.get("/activity?show=changes").json
    second = json_wire.get(f"/activity?show=changes&before={first['older']}").json
    assert {event["event"] for event in first["events"] + second["events"]} == {"factor.added"}
    assert (len(first["events"]), second["older"]) == (50, None)


def test_wrong_code_followed_by_success_in_same_browser_is_no_warning(wire, ada, mail_to):
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    code = code_in(mail_to(ada.email))
    wire.post("/us-signin", identity=ada.email, passcode="00000000" if code != "00000000" else "11111111")
    wire.post("/us-signin", identity=ada.email, passcode=code)
    answer = wire.get("/activity")
    assert "Wrong code entered" in texts(answer)
    assert alarms(answer) == []
    assert texts(wire.get("/activity?show=warnings")) == []
    assert "Wrong code entered" in texts(wire.get("/activity?show=sign_ins"))


def test_wrong_code_from_another_browser_is_a_warning(wire, ada):
    stranger = wire.elsewhere(agent=EVIL, address="198.51.100.7")
    stranger.post("/us-signin", identity=ada.email, passcode="00000000")
    sign_in(wire, ada)
    assert alarms(wire.get("/activity")) == ["Wrong code entered"]
    assert texts(wire.get("/activity?show=warnings")) == ["Wrong code entered"]


@pytest.mark.parametrize(
    ("failures", "wait", "where", "reason"),
    [
        (2, 60, {}, "wrong_code"),
        (1, 15 * 60 + 1, {}, "wrong_code"),
        (1, 60, {"agent": "Safari on macOS"}, "wrong_code"),
        (1, 60, {"address": "198.51.100.7"}, "wrong_code"),
        (1, 60, {}, "budget_spent"),
    ],
    ids=["two", "too long ago", "another browser", "another address", "not typed wrong"],
)
def test_suspicious_failure_remains_a_warning_after_sign_in(wire, ada, happen, clock, failures, wait, where, reason):
    sign_in(wire, ada)
    clock.shift(3600)
    for _ in range(failures):
        happen(ada.id, "sign_in.failed", reason=reason)
    clock.shift(wait)
    happen(ada.id, "sign_in.succeeded", **where)
    assert len(alarms(wire.get("/activity"))) == failures


@pytest.mark.parametrize(
    ("failure", "success", "is_alarm"),
    [
        ("sign_in.failed", "sign_in.step_up", False),
        ("second_step.failed", "sign_in.succeeded", False),
        ("challenge.failed", "factor.added", False),
        ("challenge.failed", "sign_in.succeeded", True),
        ("link.refused", "sign_in.succeeded", True),
    ],
)
def test_failure_warning_is_cleared_only_by_a_matching_success(wire, ada, happen, clock, failure, success, is_alarm):
    sign_in(wire, ada)
    clock.shift(3600)
    happen(ada.id, failure, reason="wrong_code")
    clock.shift(60)
    happen(ada.id, success)
    assert bool(alarms(wire.get("/activity"))) is is_alarm


def test_sign_in_does_not_clear_the_warning_of_an_hour_old_failure(wire, ada, happen, clock):
    sign_in(wire, ada)
    clock.shift(3600)
    happen(ada.id, "sign_in.failed", reason="wrong_code")
    clock.shift(3600)
    happen(ada.id, "sign_in.failed", reason="wrong_code")
    happen(ada.id, "sign_in.succeeded")
    assert len(alarms(wire.get("/activity"))) == 1


def test_earlier_success_does_not_clear_a_later_failure_warning(wire, ada, happen, clock):
    sign_in(wire, ada)
    clock.shift(3600)
    happen(ada.id, "sign_in.succeeded")
    clock.shift(60)
    happen(ada.id, "sign_in.failed", reason="wrong_code")
    assert len(alarms(wire.get("/activity"))) == 1


@pytest.mark.one_database
def test_failures_cost_one_extra_query_regardless_of_their_number(wire, ada, happen, statements):
    sign_in(wire, ada)

    def cost() -> int:
        with statements() as seen:
            wire.get("/activity")
        return len(seen)

    calm = cost()
    for _ in range(40):
        happen(ada.id, "sign_in.failed", reason="wrong_code")
    assert cost() == calm + 1


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("language", "day"),
    [("en", "Tuesday, 24 November 2026"), ("de", "Dienstag, 24. November 2026"), ("ja", "2026年11月24日火曜日")],
)
def test_events_are_grouped_by_day_in_the_readers_language(app, browser_wire, ada, happen, clock, language, day):
    sign_in(browser_wire, ada)
    browser_wire.post("/language", language=language)
    today = clock.now()
    with clock.travel(-5 * 24 * 3600):
        happen(ada.id, "factor.added")
        happen(ada.id, "factor.removed")
    with app.app_context(), use_language(language):
        assert day_text(datetime(2026, 11, 24, tzinfo=UTC)) == day
        expected = [day_text(today), day_text(today - timedelta(days=5))]
    assert re.findall(r"<h3[^>]*>(.*?)</h3>", browser_wire.get("/activity").text) == expected
