"""/admin/audit: search the audit log by every field of an event, page by page, and export it as CSV."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest

from app.admin import audit_log
from app.audit import Event
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def write(app):
    """Writes events: ``write("sign_in.failed", ada, address="192.0.2.1")``."""

    def add(name: str, person=None, *, at: datetime = NOON, **other: object) -> None:
        from app.extensions import db

        row = {"support_id": "", "request_id": "", "address": "", "agent": "", "facts": {}}
        row |= {"user_id": person.id if person else None, "at": at, "name": name}
        with app.app_context():
            db.session.add(Event(**(row | other)))
            db.session.commit()

    return add


def found(console, query: str = "") -> list[str]:
    """Return the names of the events that a search shows, in its order."""
    answer = console.get(f"/admin/audit{query}")
    assert answer.status == 200, answer
    if console.language == "json":
        return [event["event"] for event in answer.json["events"]]
    return re.findall(r'<code class="breakable" dir="ltr">([^<]+)</code>', answer.text)


@pytest.fixture
def history(write, ada, grace, of_ada):
    """Events of a day, oldest first."""
    handle = of_ada.rpartition("/")[2]
    write("sign_in.failed", ada, at=NOON, address="192.0.2.1", support_id="AAAA2222", facts={"reason": "wrong_code"})
    write("sign_in.succeeded", ada, at=NOON + timedelta(hours=1), address="192.0.2.2")
    write("account.disabled", ada, at=NOON + timedelta(days=1), facts={"by": "operator"})
    write("admin.account_enabled", grace, at=NOON + timedelta(days=2), facts={"subject": handle})
    write("group.created", at=NOON + timedelta(days=3), facts={"group": "staff", "by": "operator"})
    write("factor.added", grace, at=NOON + timedelta(days=4))


ALL = [
    "factor.added",
    "group.created",
    "admin.account_enabled",
    "account.disabled",
    "sign_in.succeeded",
    "sign_in.failed",
]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?to=2026-11-28", ALL),
        ("?event=sign_in&to=2026-11-28", ["sign_in.succeeded", "sign_in.failed"]),
        ("?event=sign_in.f*", ["sign_in.failed"]),
        ("?event=SIGN_IN.failed", ["sign_in.failed"]),
        ("?event=signXin", []),
        ("?event=%25", []),
        ("?person=ada@example.com", ["account.disabled", "sign_in.succeeded", "sign_in.failed"]),
        ("?person=ada@example.com&event=sign", ["sign_in.succeeded", "sign_in.failed"]),
        ("?actor=grace@example.com&to=2026-11-28", ["admin.account_enabled"]),
        ("?actor=grace@example.com&person=ada@example.com", ["admin.account_enabled"]),
        ("?actor=grace@example.com&person=grace@example.com&to=2026-11-28", []),
        ("?actor=operator&to=2026-11-28", ["group.created", "account.disabled"]),
        ("?actor=operator&person=ada@example.com", ["account.disabled"]),
        ("?support_id=aaaa2222", ["sign_in.failed"]),
        ("?address=192.0.2.2", ["sign_in.succeeded"]),
        ("?address=192.0.2", []),
        ("?from=2026-11-21&to=2026-11-22", ["admin.account_enabled", "account.disabled"]),
        ("?to=2026-11-20", ["sign_in.succeeded", "sign_in.failed"]),
        ("?from=2027-01-01", []),
    ],
)
def test_audit_log_filters(console, history, query, names):
    assert found(console, query) == names


def test_audit_log_can_be_filtered_by_account_handle(json_wire, grace, history, of_ada):
    handle = of_ada.rpartition("/")[2]
    console = sign_in(json_wire, grace)
    events = console.get(f"/admin/audit?person={handle.upper()}").json["events"]
    assert [event["person"] for event in events] == [{"handle": handle, "label": "ada@example.com"}] * 3
    assert console.get(f"/admin/audit?actor=admin:{handle}").json["events"] == []


def test_audit_log_links_accounts_and_attempts(browser_wire, grace, history, of_ada):
    page = sign_in(browser_wire, grace).get("/admin/audit?to=2026-11-28").text
    assert f'<a class="breakable" href="{of_ada}"><bdi>ada@example.com</bdi></a>' in page
    assert f'done to <a href="{of_ada}">' in page
    assert '<a href="/admin/attempts?support_id=AAAA2222">AAAA2222</a>' in page


@pytest.mark.parametrize("query", ["?", "?person=ada@example.com&", "?event=x&", "?address=192.0.2.9&"])
@pytest.mark.parametrize("span", [3, 1000])
def test_audit_log_pagination_returns_every_event_once(json_wire, grace, ada, write, monkeypatch, query, span):
    monkeypatch.setattr(audit_log, "PAGE", 2)
    monkeypatch.setattr(audit_log, "SPAN", span)
    monkeypatch.setattr(audit_log.page_of, "__kwdefaults__", {"most": 2})
    for number in range(7):  # several of one moment
        write(f"x.{number}", ada, at=NOON + timedelta(seconds=number // 3), address="192.0.2.9")
        write(f"y.{number}", at=NOON + timedelta(seconds=number // 3))
    console, seen, after = sign_in(json_wire, grace), [], ""
    for _ in range(40):
        answer = console.get(f"/admin/audit{query}to=2026-11-28&after={after}").json
        assert len(answer["events"]) <= 2
        seen += [event["event"] for event in answer["events"]]
        if answer["searched_until"]:
            assert answer["after"]
        after = answer["after"]
        if not after:
            break
    wanted = {f"{letter}.{number}" for number in range(7) for letter in ("x" if len(query) > 1 else "xy")}
    assert len(seen) == len(set(seen))
    assert set(seen) == wanted


def test_unindexed_audit_search_reports_how_far_back_it_searched(console, write, monkeypatch):
    monkeypatch.setattr(audit_log, "SPAN", 3)
    for number in range(5):
        write("often", at=NOON + timedelta(minutes=number))
    write("rare", at=NOON - timedelta(days=1))
    answer = console.get("/admin/audit?event=rare&to=2026-11-28")
    if console.language == "json":
        assert answer.json["events"] == []
        assert answer.json["searched_until"].startswith("2026-11-20T12:02")
        on = console.get(f"/admin/audit?event=rare&to=2026-11-28&after={answer.json['after']}")
        assert [event["event"] for event in on.json["events"]] == ["rare"]
    else:
        assert "Searched back to" in answer.text
        assert "Search further back" in answer.text


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?person=nobody@example.com", "person_unknown"),
        ("?actor=nobody@example.com", "person_unknown"),
        ("?person=" + "0" * 32, "person_unknown"),
        ("?person=" + "x" * 5000, "person_unknown"),
        ("?from=yesterday", "date_invalid"),
        ("?to=2026-02-30", "date_invalid"),
        ("?to=9999-12-31", "date_invalid"),
        ("?after=x", "api_error"),
        ("?after=99999999999999999-1", "api_error"),
        ("?after=1-99999999999999999999", "api_error"),
        ("?after=%00", "api_error"),
        ("?event=%00", "api_error"),
    ],
)
def test_invalid_audit_filter_is_rejected(json_wire, grace, query, code):
    console = sign_in(json_wire, grace)
    answer = console.get(f"/admin/audit{query}")
    assert (answer.status, answer.codes) == (400, [code])
    if "after" not in query:
        assert console.get(f"/admin/audit.csv{query}").codes == [code]


def test_audit_page_shows_the_error_with_the_submitted_filter(browser_wire, grace):
    answer = sign_in(browser_wire, grace).get("/admin/audit?person=nobody@example.com")
    assert answer.status == 400
    assert answer.page.title.startswith("Error: ")
    assert "no account nobody@example.com" in answer.text
    assert 'value="nobody@example.com"' in answer.text


def rows_of(answer) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    assert (answer.status, answer.response.mimetype) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(answer.response.get_data(as_text=True))))


def test_audit_export_contains_the_filtered_events_and_is_recorded(console, history, of_ada, monkeypatch, rows):
    monkeypatch.setattr(audit_log, "BATCH", 2)
    exported = rows_of(console.get("/admin/audit.csv?to=2026-11-28"))
    assert [row["event"] for row in exported] == ALL
    assert exported[-1] | {"facts": "", "request_id": ""} == {
        "at": "2026-11-20T12:00:00+00:00", "event": "sign_in.failed", "account_id": of_ada.rpartition("/")[2],
        "account": "ada@example.com", "address": "192.0.2.1", "browser": "", "support_id": "AAAA2222",
        "request_id": "", "facts": "",
    }  # fmt: skip
    [event] = rows(Event, name="admin.audit_exported")
    assert event.facts == {"subject": "", "filters": {"to": "2026-11-28"}}


def test_audit_export_of_one_account_contains_no_other_account(console, history):
    assert len(rows_of(console.get("/admin/audit.csv?person=ada@example.com"))) == 3


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", " =1", "\uff1d1"])
def test_audit_export_escapes_spreadsheet_formulas(json_wire, grace, write, formula):
    write("x", address=formula, request_id=formula)
    [row] = rows_of(sign_in(json_wire, grace).get("/admin/audit.csv?event=x"))
    assert [row["address"].startswith("'"), row["request_id"].startswith("'")] == [True, True]


def test_audit_export_escapes_formulas_after_semicolons(json_wire, grace, write):
    write("x", request_id="a;=HYPERLINK(A1)", facts={"name": "my laptop;@SUM(A1)"})
    [row] = rows_of(sign_in(json_wire, grace).get("/admin/audit.csv?event=x"))
    assert row["request_id"] == "a;'=HYPERLINK(A1)"
    assert row["facts"] == '{"name":"my laptop;\'@SUM(A1)"}'


def test_head_request_for_the_audit_export_records_no_event(json_wire, grace, rows):
    assert sign_in(json_wire, grace).send("HEAD", "/admin/audit.csv").status == 200
    assert rows(Event, name="admin.audit_exported") == []


def test_audit_page_statement_count_is_independent_of_the_number_of_events(json_wire, grace, ada, write, statements):
    console = sign_in(json_wire, grace)
    console.get("/admin/audit")
    counts = []
    for _ in range(2):
        for number in range(5):
            write("x", ada if number % 2 else grace)
        with statements() as ran:
            console.get("/admin/audit?event=x")
        counts.append(len(ran))
    assert counts[0] == counts[1] <= 8, ran
