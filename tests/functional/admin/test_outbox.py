"""/admin/outbox: messages that weren't sent, why, and sending them again."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from app import clock as app_clock
from app.admin import outbox_list
from app.audit import Event
from app.outbox import Message
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases

STATES = {
    "abandoned": {
        "state": "abandoned",
        "attempts": 1,
        "next_attempt_at": None,
        "last_error": "recipient refused (550)",
    },
    "retrying": {"state": "waiting", "attempts": 2, "last_error": "mail server not ready (451)"},
    "waiting": {"state": "waiting", "attempts": 0, "last_error": ""},
}


@pytest.fixture
def write(app):
    """Writes a message: ``write("abandoned", "ada@example.com")``; returns its id."""

    def add(group: str, to: str = "ada@example.com", *, age: float = 0, **other: object) -> str:
        from app.extensions import db
        from app.outbox.service import destination_of

        now = app_clock.now()
        channel = str(other.pop("channel", "mail"))
        row = {"kind": "code", "channel": channel, "to": to, "facts": {}, "created_at": now - timedelta(minutes=age)}
        row |= {"next_attempt_at": now + timedelta(minutes=5), "destination": destination_of(channel, to)}
        with app.app_context():
            message = Message(**(row | STATES[group] | other))
            db.session.add(message)
            db.session.commit()
            return message.id

    return add


def shown(console, query: str = "") -> list[str]:
    """Return the masked addresses of a list, in its order."""
    answer = console.get(f"/admin/outbox{query}")
    assert answer.status == 200, answer
    if console.language == "json":
        return [message["to"] for message in answer.json["messages"]]
    return re.findall(r'<h3 class="breakable"><bdi>([^<]+)</bdi>', answer.text)


@pytest.fixture
def full(write):
    """Some messages of each group."""
    write("abandoned", "ada@example.com", age=1)
    write("abandoned", "bob@corp.example", age=2)
    write("abandoned", "+16502530000", channel="sms", age=3)
    write("abandoned", "wiki", channel="logout", age=4)
    write("retrying", "carol@slow.example")
    write("waiting", "dan@example.com")


@pytest.mark.parametrize(
    ("query", "whom"),
    [
        ("", ["a...@example.com", "b...@corp.example", "...0000", "wiki"]),
        ("?state=retrying", ["c...@slow.example"]),
        ("?state=waiting", ["d...@example.com"]),
        ("?state=abandoned&channel=sms", ["...0000"]),
        ("?state=abandoned&channel=mail", ["a...@example.com", "b...@corp.example"]),
        ("?state=abandoned&channel=logout", ["wiki"]),
        ("?destination=CORP.example", ["b...@corp.example"]),
        ("?destination=app:wiki", ["wiki"]),
        ("?destination=nowhere.example", []),
        ("?state=retrying&destination=slow.example", ["c...@slow.example"]),
        ("?state=waiting&channel=sms", []),
    ],
)
def test_outbox_list_is_filtered_and_masks_addresses(console, full, query, whom):
    assert shown(console, query) == whom


def test_outbox_shows_retrying_then_waiting_messages_if_none_is_abandoned(console, write):
    write("waiting", "dan@example.com")
    assert shown(console) == ["d...@example.com"]
    write("retrying", "carol@slow.example")
    assert shown(console) == ["c...@slow.example"]


def test_outbox_json_has_counts_reasons_and_destinations(json_wire, grace, full):
    answer = sign_in(json_wire, grace).get("/admin/outbox").json
    assert {group: each["count"] for group, each in answer["counts"].items()} == {
        "abandoned": 4, "retrying": 1, "waiting": 1,
    }  # fmt: skip
    assert {each["destination"] for each in answer["destinations"]} == {
        "app:wiki", "corp.example", "example.com", "sms",
    }  # fmt: skip
    assert {each["reason"] for each in answer["destinations"]} == {"recipient refused (550)"}
    assert answer["messages"][0]["reason"] == "recipient refused (550)"


def test_outbox_counts_are_bounded(console, write, monkeypatch):
    monkeypatch.setattr(outbox_list, "COUNTED", 2)
    for number in range(3):
        write("abandoned", f"x{number}@example.com")
    answer = console.get("/admin/outbox")
    if console.language == "json":
        assert {name: answer.json["counts"]["abandoned"][name] for name in ("count", "more")} == {
            "count": 2, "more": True,
        }  # fmt: skip
    else:
        assert "more than 2" in answer.text


def test_outbox_shows_neither_full_addresses_nor_message_contents(console, write):
    write("abandoned", "ada.lovelace@example.com", facts={"name": "Loremipsum"}, tag="K7Q2")
    body = console.get("/admin/outbox").response.get_data(as_text=True)
    assert "lovelace" not in body
    assert "Loremipsum" not in body
    assert "K7Q2" not in body


@pytest.mark.parametrize("group", ["abandoned", "retrying", "waiting"])
def test_outbox_pagination_returns_every_message_once(json_wire, grace, write, monkeypatch, group, clock):
    monkeypatch.setattr(outbox_list, "PAGE", 2)
    at = app_clock.now()
    for number in range(7):  # several of one moment and one destination
        same = {"created_at": at + timedelta(seconds=number // 3)}
        if group != "abandoned":
            same["next_attempt_at"] = at + timedelta(seconds=number // 3)
        write(group, f"{number}@{'ab'[number % 2]}.example", **same)
    console, seen, after = sign_in(json_wire, grace), [], ""
    for _ in range(9):
        answer = console.get(f"/admin/outbox?state={group}&after={after.replace(' ', '%20')}").json
        seen += [message["to"] for message in answer["messages"]]
        after = answer["after"] or ""
        if not after:
            break
    assert sorted(seen) == sorted(f"{number}...@{'ab'[number % 2]}.example" for number in range(7))


@pytest.mark.parametrize(
    "query",
    ["?state=sent", "?channel=x", "?destination=a%20b", "?destination=%00", "?after=x", "?after=1%20x%20y",
     "?destination=" + "x" * 300, f"?after=1%20%00%20{'0' * 32}"],
)  # fmt: skip
def test_invalid_outbox_filter_is_rejected(json_wire, grace, query):
    answer = sign_in(json_wire, grace).get(f"/admin/outbox{query}")
    assert (answer.status, answer.codes) == (400, ["api_error"])


def test_retried_message_records_the_administrator(console, grace, write, mail_to, deliver, rows):
    number = write("abandoned", "ada@example.com", kind="notice", facts={})
    answer = console.post(f"/admin/outbox/{number}/retry")
    assert answer.ok
    if console.language == "json":
        assert (answer.json["retried"], answer.json["more"]) == (1, False)
    [message] = rows(Message, id=number)
    assert (message.state, message.attempts, message.last_error) == ("waiting", 0, "")
    [event] = rows(Event, name="admin.messages_retried")
    assert (event.user_id, event.facts) == (grace.id, {"subject": number, "messages": 1})


def test_retry_wakes_the_workers(console, write, monkeypatch):
    woken = []
    monkeypatch.setattr("app.outbox.service.wakeups.wake", lambda: woken.append(True))
    number = write("abandoned")
    woken.clear()
    console.post(f"/admin/outbox/{number}/retry")
    assert woken == [True]


def test_waiting_and_expired_messages_cannot_be_retried(console, write, rows):
    waiting = write("waiting")
    expired = write("abandoned", expires_at=app_clock.now() - timedelta(minutes=1))
    for number in (waiting, expired, "0" * 32):
        answer = console.post(f"/admin/outbox/{number}/retry")
        assert (answer.status, answer.codes) == (409, ["message_not_retried"])
    assert console.post("/admin/outbox/x/retry").status == 404
    assert rows(Event, name="admin.messages_retried") == []
    assert {message.state for message in rows(Message)} == {"waiting", "abandoned"}


def test_messages_can_be_retried_by_destination_by_channel_or_all(console, full, rows):
    assert console.post("/admin/outbox/retry", destination="corp.example").ok
    assert sorted(message.to for message in rows(Message, state="abandoned")) == [
        "+16502530000", "ada@example.com", "wiki",
    ]  # fmt: skip
    assert console.post("/admin/outbox/retry", channel="sms").ok
    assert console.post("/admin/outbox/retry").ok
    assert rows(Message, state="abandoned") == []
    facts = [event.facts for event in rows(Event, name="admin.messages_retried")]
    assert [each["messages"] for each in facts] == [1, 1, 2]
    assert facts[0]["destination"] == "corp.example"
    assert console.post("/admin/outbox/retry").ok
    assert len(rows(Event, name="admin.messages_retried")) == 3


def test_bulk_retry_is_limited_per_request(json_wire, grace, write, monkeypatch, rows):
    monkeypatch.setattr(outbox_list, "RETRIED_AT_ONCE", 2)
    for number in range(3):
        write("abandoned", f"x{number}@example.com", age=number)
    console = sign_in(json_wire, grace)
    first, second = console.post("/admin/outbox/retry").json, console.post("/admin/outbox/retry").json
    assert [(each["retried"], each["more"]) for each in (first, second)] == [(2, True), (1, False)]


@pytest.mark.parametrize(("field", "value"), [("channel", "x"), ("destination", "a b"), ("destination", 5)])
def test_retry_with_invalid_filter_is_rejected(json_wire, grace, write, rows, field, value):
    write("abandoned")
    answer = sign_in(json_wire, grace).post("/admin/outbox/retry", **{field: value})
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert len(rows(Message, state="abandoned")) == 1


def test_retry_requires_recent_reauthentication(console, write, clock, rows):
    number = write("abandoned")
    console.get("/admin/outbox")
    clock.shift(60 * 6)
    page = console.get("/admin/outbox")
    assert page.status == 200
    if console.language == "form":
        assert "/retry" not in page.text
    for path in (f"/admin/outbox/{number}/retry", "/admin/outbox/retry"):
        assert console.post(path).status == (401 if console.language == "json" else 302)
    assert len(rows(Message, state="abandoned")) == 1


@pytest.mark.one_database
@pytest.mark.parametrize("group", ["abandoned", "retrying", "waiting"])
def test_outbox_lists_use_their_partial_index(app, group):
    from app.extensions import db

    wanted = outbox_list.MessageFilter(group, channel="mail")
    found = {"abandoned": "ix_message_abandoned", "retrying": "ix_message_again", "waiting": "ix_message_new"}
    with app.app_context():
        statement = outbox_list.page_statement(wanted)
        compiled = statement.compile(db.engine, compile_kwargs={"literal_binds": True})
        plan = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
    assert found[group] in str(plan), plan
