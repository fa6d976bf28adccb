"""``flask attempts show`` and ``list``: an operator explains a failed sign-in by its support ID."""

from __future__ import annotations

import json

import pytest

from app.admin.attempts import REASONS, timeline
from tests.functional.signin.conftest import wrong
from tests.plans import collected, reads_whole
from tests.sinks import code_in

pytestmark = pytest.mark.both_databases

ADA = "ada@example.com"
SEND = "/us-signin/send-code"


@pytest.fixture
def explain(operate):
    """Runs ``flask attempts show ID --json`` and returns its lines."""

    def run(support_id: str) -> list[dict]:
        result = operate("attempts", "show", support_id, "--json")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


@pytest.fixture
def ada(people):
    return people.open(email=ADA)


def reasons(lines: list[dict]) -> list[str]:
    assert {line["reason"] for line in lines} <= set(REASONS)
    return [line["reason"] for line in lines]


def test_any_support_id_of_an_attempt_shows_the_whole_attempt(json_wire, ada, mail_to, explain):
    sent = json_wire.post(SEND, identity=ADA, chosen_method="email")
    code = code_in(mail_to(ADA))
    failed = json_wire.post("/us-signin", identity=ADA, passcode=wrong(code))
    json_wire.post("/us-signin", identity=ADA, passcode=code)
    first, second = explain(sent.json["support_id"]), explain(failed.json["support_id"].lower())
    assert first == second
    assert reasons(first) == ["queued", "sent", "wrong_code", "signed_in"]
    assert first[0]["since"] == 0.0


def test_page_shows_the_support_id_of_the_attempt(browser_wire, ada, explain):
    answer = browser_wire.post(SEND, identity=ADA, chosen_method="email")
    assert reasons(explain(answer.page.support_id))[0] == "queued"
    refused = browser_wire.post("/us-signin", identity=ADA, passcode="00000000")
    assert "wrong_code" in reasons(explain(refused.page.support_id))


def test_timeline_explains_expired_code_in_another_browser(json_wire, ada, mail_to, explain, clock):
    json_wire.post(SEND, identity=ADA, chosen_method="email")
    code = code_in(mail_to(ADA))
    elsewhere = json_wire.elsewhere().post("/us-signin", identity=ADA, passcode=code)
    clock.shift(601)
    json_wire.post("/us-signin", identity=ADA, passcode=code)
    told = reasons(explain(elsewhere.json["support_id"]))
    assert sorted(told) == ["expired", "expired", "other_browser", "queued", "sent"]


def test_timeline_of_a_registration_is_complete_from_any_support_id(json_wire, mail_to, explain):
    new = "grace@example.com"
    sent = json_wire.post(SEND, identity=new, chosen_method="email")
    failed = json_wire.post("/us-signin", identity=new, passcode="00000000")
    opened = json_wire.post("/us-signin", identity=new, passcode=code_in(mail_to(new)))
    assert opened.ok
    told = explain(sent.json["support_id"])
    assert told == explain(failed.json["support_id"])
    assert reasons(told)[:3] == ["queued", "wrong_code", "sent"]
    assert {"signed_in", "noted"} <= set(reasons(told)[3:])


def test_timeline_needs_no_full_table_scan(app, json_wire, ada, mail_to):
    support_id = json_wire.post(SEND, identity=ADA, chosen_method="email").json["support_id"]
    json_wire.post("/us-signin", identity=ADA, passcode=code_in(mail_to(ADA)))
    with collected(app) as plans:
        assert len(timeline(support_id)) == 3
    assert len(plans) == 5
    assert not [plan for plan in plans for table in ("event", "message", "challenge") if reads_whole(plan, table)]


@pytest.mark.settings(registration=False)
def test_timeline_tells_operator_that_no_account_exists(json_wire, deliver, explain):
    answer = json_wire.post(SEND, identity="nobody@example.com", chosen_method="email")
    deliver()
    lines = explain(answer.json["support_id"])
    assert reasons(lines) == ["queued", "withheld"]
    assert "no account" in lines[0]["detail"]


def test_timeline_explains_rejected_email(json_wire, ada, smtp, deliver, explain):
    answer = json_wire.post(SEND, identity=ADA, chosen_method="email")
    smtp.mode = "refuse"
    deliver()
    lines = explain(answer.json["support_id"])
    assert reasons(lines) == ["queued", "failed"]
    assert "refused" in lines[1]["detail"]


def test_timeline_shows_link_opened_without_cookie_and_seconds_since_delivery(
    json_wire, ada, app, mail_to, explain, clock
):
    answer = json_wire.post(SEND, identity=ADA, chosen_method="email")
    mail_to(ADA)
    clock.shift(9)
    record_of_a_scanner(app)
    lines = explain(answer.json["support_id"])
    assert reasons(lines) == ["queued", "sent", "opened_without_cookie"]
    assert "9 s after delivery" in lines[2]["detail"]


def record_of_a_scanner(app) -> None:
    """Write what a browser without a cookie leaves behind."""
    from app.audit import record
    from app.challenges.models import Challenge
    from app.extensions import db

    with app.app_context():
        challenge = db.session.query(Challenge).one()
        record("link.opened_unbound", challenge.user_id, challenge_id=challenge.id)
        db.session.commit()


@pytest.mark.parametrize("unknown", ["ABCD2345", "", "' OR 1=1"])
def test_unknown_support_id_is_reported_as_unknown(operate, json_wire, ada, deliver, unknown):
    json_wire.post(SEND, identity=ADA, chosen_method="email")
    deliver()
    result = operate("attempts", "show", unknown)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "kept for 365 days" in result.stderr


def test_plain_timeline_is_a_table_without_secrets(operate, json_wire, ada, mail_to):
    answer = json_wire.post(SEND, identity=ADA, chosen_method="email")
    code = code_in(mail_to(ADA))
    json_wire.post("/us-signin", identity=ADA, passcode=wrong(code))
    result = operate("attempts", "show", answer.json["support_id"])
    assert [line.split()[4] for line in result.stdout.splitlines()] == ["queued", "sent", "wrong_code"]
    assert not any(secret in result.stdout for secret in (code, wrong(code), ADA))


def test_list_shows_latest_attempts_of_an_account(operate, json_wire, ada):
    sent = json_wire.post(SEND, identity=ADA, chosen_method="email")
    failed = json_wire.post("/us-signin", identity=ADA, passcode="00000000")
    result = operate("attempts", "list", "--identity", "Ada@Example.com")
    listed = [line.split()[2:] for line in result.stdout.splitlines()]
    assert listed == [[failed.json["support_id"], "wrong_code"], [sent.json["support_id"], "queued"]]
    assert operate("attempts", "list", "--identity", "nobody@example.com").exit_code == 1
    assert operate("attempts", "list", "Ada@Example.com").stdout == result.stdout
    for words in ((), ("ada@example.com", "--identity", "ada@example.com")):
        assert "flask attempts list IDENTITY" in operate("attempts", "list", *words).stderr
