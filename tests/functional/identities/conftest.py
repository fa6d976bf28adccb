"""Ada, who is signed in and changes her addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.factories import People, Person
from tests.signed_in import sign_in
from tests.sinks import Mail, code_in, links_in
from tests.wire import Answer, Wire

NEW = "ada@new.example"
THIRD = "ada@third.example"
CHANGE, ADD, CONFIRM = "/change-email", "/identities/add", "/change-email/confirm"


@pytest.fixture
def ada(people: People) -> Person:
    """Someone who signs in by email and has nothing else."""
    return people.open(email="ada@example.com")


@pytest.fixture
def hers(wire: Wire, ada: Person) -> Wire:
    """Ada's browser, then her API client, signed in."""
    return sign_in(wire, ada)


@pytest.fixture
def emails(rows: Callable[..., list]) -> Callable[[Person], list[str]]:
    """Returns a person's addresses, the primary one first: ``emails(ada) == ["ada@example.com"]``."""
    from app.users import Identity

    def read(person: Person) -> list[str]:
        mine = rows(Identity, user_id=person.id, kind="email")
        return [row.value for row in sorted(mine, key=lambda row: (not row.is_primary, row.id))]

    return read


@pytest.fixture
def prove(mail_to: Callable[[str], Mail]) -> Callable[..., Answer]:
    """Requests a code for an address and enters it: ``prove(hers, NEW)``, ``prove(hers, NEW, ADD)``."""

    def give(browser: Wire, email: str, path: str = CHANGE) -> Answer:
        assert browser.post(path, email=email).ok
        return browser.post(CONFIRM, passcode=code_in(mail_to(email)))

    return give


@pytest.fixture
def undo_in(mail_to: Callable[[str], Mail]) -> Callable[[str], str]:
    """Returns the path by which the newest mail to an address undoes a change."""
    return lambda address: path_in(mail_to(address), "/change-email/undo/")


@pytest.fixture
def finds_nobody(wire: Wire, deliver: Callable[[], list], rows: Callable[..., list]) -> Callable[[str], None]:
    """Checks that an address identifies no account: it only gets emails for creating one."""
    from app.users import Identity, User

    def see(address: str) -> None:
        before = {user.id for user in rows(User)}
        browser = wire.elsewhere()
        assert browser.post("/us-signin/send-code", identity=address, chosen_method="email").ok
        (mail,) = deliver()
        assert mail.to == [address]
        assert mail.subject.startswith("Create your Latchkey account")
        assert browser.post("/us-signin", identity=address, passcode=code_in(mail)).ok
        (found,) = rows(Identity, kind="email", value=address)
        assert found.user_id not in before, "its code opened an account that was there"

    return see


def path_in(mail: Any, path: str) -> str:
    """Return the one link in a mail that begins with ``path``, without scheme and host. Raises AssertionError."""
    found = [link.removeprefix("http://localhost") for link in links_in(mail) if path in link]
    assert len(found) == 1, f"one link with {path!r} was expected in:\n{mail.text}"
    return found[0]
