"""Why a code didn't work is recorded for operators, and shown to nobody else."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from tests.functional.signin.conftest import wrong

SEND = "/us-signin/send-code"


@pytest.fixture
def reason(wire, ada, rows):
    """Enters a code and returns why it failed, after checking that the response is the generic one."""

    def fail(code: str, by=None, **more) -> str:
        answer = (by or wire).post("/us-signin", identity=ada.email, passcode=code, **more)
        assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
        return rows(Event, name="sign_in.failed")[-1].facts["reason"]

    return fail


def test_unknown_code_is_audited_as_wrong_code(ada, code_for, reason, rows):
    assert reason(wrong(code_for(ada.email))) == "wrong_code"
    assert rows(Event, name="sign_in.failed")[0].challenge_id == rows(Challenge)[0].id


def test_code_of_an_earlier_challenge_is_audited_as_older_code(ada, code_for, reason, clock, rows):
    first = code_for(ada.email)
    clock.shift(560)  # too late for the same code once more
    second = code_for(ada.email)
    assert first != second
    clock.shift(60)
    assert reason(first) == "older_code"
    first_row = min(rows(Challenge), key=lambda row: row.created_at)
    assert rows(Event, name="sign_in.failed")[0].challenge_id == first_row.id


def test_code_requested_by_another_browser_is_audited_as_other_browser(wire, ada, code_for, reason):
    code = code_for(ada.email)
    other = wire.elsewhere()
    assert reason(code, by=other) == "other_browser"
    code_for(ada.email, by=other)
    assert reason(code, by=other) == "other_browser"


@pytest.mark.parametrize(("age", "expected"), [(601, "expired"), (1900, "wrong_code")])
def test_expired_code_is_audited_as_expired_for_half_an_hour_then_as_wrong_code(
    ada, code_for, reason, clock, age, expected
):
    code = code_for(ada.email)
    clock.shift(age)
    assert reason(code) == expected


def test_used_code_is_audited_as_spent(wire, ada, code_for, reason, sign_in):
    code = code_for(ada.email)
    wire.post("/us-signin", identity=ada.email, passcode=code)
    wire.post("/logout")
    assert reason(code) == "spent"


@pytest.mark.parametrize("right", [True, False])
def test_codes_after_five_wrong_attempts_are_audited_as_budget_spent(ada, code_for, reason, right):
    code = code_for(ada.email)
    assert [reason(wrong(code)) for _ in range(5)] == ["wrong_code"] * 5
    assert reason(code if right else wrong(code)) == "budget_spent"


def test_failures_of_unknown_identities_are_audited_like_known_ones(wire, ada, rows):
    for identity in (ada.email, "nobody@example.com"):
        wire.post(SEND, identity=identity, chosen_method="email")
        for _ in range(6):
            wire.post("/us-signin", identity=identity, passcode="00000000")
    everything = [event.facts["reason"] for event in rows(Event, name="sign_in.failed")]
    assert everything[:6] == everything[6:] == ["wrong_code"] * 5 + ["budget_spent"]


def test_audit_events_contain_no_typed_codes(ada, code_for, reason, rows):
    code = code_for(ada.email)
    reason(wrong(code))
    reason(wrong(code), challenge="nonsense")
    told = repr([(event.facts, event.agent, event.request_id) for event in rows(Event)])
    assert wrong(code) not in told
    assert code not in told


def test_failed_confirmation_audits_its_reason(wire, mail_to, rows):
    from tests.sinks import code_in

    wire.post("/register", email="ada@example.com")
    code = code_in(mail_to("ada@example.com"))
    wire.post("/confirm", email="ada@example.com", passcode=wrong(code))
    wire.elsewhere().post("/confirm", email="ada@example.com", passcode=code)
    assert [event.facts["reason"] for event in rows(Event, name="sign_in.failed")] == ["wrong_code", "other_browser"]
