"""Fifty administrators at work when the database stops: 503 meanwhile, and nothing half done."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest

from tests.factories import People
from tests.faults.accounts import application_on, open_many
from tests.faults.visitors import UNANSWERED, Answer, Visitor, answer_to, together
from tests.functional.admin.conftest import make_administrator
from tests.sinks import until

pytestmark = pytest.mark.long

ADMINISTRATORS, PEOPLE = 50, 600
PAGES = ("/admin", "/admin/people", "/admin/people?q=person1", "/admin/groups", "/admin/audit", "/admin/outbox",
         "/admin/apps", "/admin/invitations", "/admin/settings", "/admin/webhooks")  # fmt: skip


class Administrator(Visitor):
    """An administrator with an API token of scope ``admin``, who also views pages."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url)
        self.token = token

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the bytes of a request with the token."""
        plain = super().request(method, path, body)
        return plain.replace(b"Connection:", b"Authentication-Token: " + self.token.encode() + b"\r\nConnection:")

    def page(self, path: str) -> Answer:
        """Get a page as a browser does."""
        return answer_to(self.address, self.request("GET", path).replace(b"application/json", b"text/html"))

    def disable(self, handle: str) -> Answer:
        """Disable an account."""
        return answer_to(self.address, self.request("POST", f"/admin/people/{handle}/disable", b"{}"))


@pytest.fixture
def administrators(own_postgresql) -> list[str]:
    """The tokens of fifty administrators."""
    from app.extensions import db
    from app.sessions import api_tokens

    tokens = []
    with application_on(own_postgresql.database) as app:
        for number in range(ADMINISTRATORS):
            grace = make_administrator(app, People(app).open(email=f"grace{number}@example.com", methods=["email"]))
            with app.app_context():
                _, token = api_tokens.issue(grace.id, "console", ["admin"], timedelta(days=1), "0" * 32)
                db.session.commit()
            tokens.append(token)
    return tokens


@pytest.fixture
def handles(own_postgresql) -> list[str]:
    """The accounts to disable, one after the other."""
    open_many(own_postgresql.database, PEOPLE)
    query = "SELECT handle FROM \"user\" WHERE id IN (SELECT user_id FROM identity WHERE value LIKE 'person%')"
    return [row[0] for row in own_postgresql.database.query(query)]


class Shift:
    """Administrators who keep viewing and changing accounts, and the responses they get."""

    def __init__(self, handles: list[str]) -> None:
        self.looked: list[Answer] = []
        self.changed: dict[str, int] = {}
        self.over = threading.Event()
        self._handles = iter(handles)
        self._turn = threading.Lock()

    def work(self, somebody: Administrator, number: int) -> None:
        """View a page, then disable an account, until stopped."""
        for turn in range(number, 10**6):
            if self.over.is_set():
                return
            look = somebody.page if number % 2 else somebody.get
            try:
                self.looked.append(look(PAGES[turn % len(PAGES)]))
                with self._turn:
                    handle = next(self._handles)
                self.changed[handle] = 0
                self.changed[handle] = somebody.disable(handle).status
            except (*UNANSWERED, StopIteration):
                self.over.wait(0.2)

    def answered(self, status: int) -> int:
        """Return how many views got this response."""
        return sum(answer.status == status for answer in list(self.looked))


def test_database_outage_under_fifty_admins_returns_503_and_leaves_no_partial_change(
    own_postgresql, administrators, handles, start
):
    server = start(own_postgresql.database)
    shift, numbers, crowd = Shift(handles), iter(range(ADMINISTRATORS)), threading.Lock()

    def work() -> None:
        with crowd:
            number = next(numbers)
        shift.work(Administrator(server.url, administrators[number]), number)

    with together(work, ADMINISTRATORS):
        until(lambda: shift.answered(200) >= 2 * ADMINISTRATORS, 30)
        own_postgresql.stop_at_once()
        until(lambda: shift.answered(503) >= ADMINISTRATORS, 30)
        own_postgresql.start()
        before = shift.answered(200)
        until(lambda: shift.answered(200) >= before + ADMINISTRATORS, 30)
        shift.over.set()

    assert Counter(answer.status for answer in shift.looked).keys() == {200, 503}
    refused = [answer for answer in shift.looked if answer.status == 503]
    assert {answer.header("retry-after") != "" for answer in refused} == {True}
    assert {answer.body[:15].lower() for answer in refused if b"html" in answer.header("content-type").encode()} == {
        b"<!doctype html>"
    }
    assert set(shift.changed.values()) <= {200, 503, 0}
    nothing_half_done(own_postgresql, shift)


def nothing_half_done(own_postgresql, shift: Shift) -> None:
    """Check that each account is disabled with both its events, or not at all."""
    ask = own_postgresql.database.query
    disabled = {row[0] for row in ask('SELECT handle FROM "user" WHERE disabled_at IS NOT NULL')}
    of_owners = ask(
        'SELECT handle FROM "user" JOIN event ON event.user_id = "user".id WHERE event.name = \'account.disabled\''
    )
    of_administrators = ask("SELECT facts->>'subject' FROM event WHERE name = 'admin.account_disabled'")
    assert Counter(row[0] for row in of_owners) == Counter(disabled)
    assert Counter(row[0] for row in of_administrators) == Counter(disabled)
    assert {handle for handle, status in shift.changed.items() if status == 200} <= disabled
    assert len(disabled) > ADMINISTRATORS
