"""Every page at 320 px, the width of a 1280 px screen at 400 % zoom, with text of normal and double size; and on a wide
screen. In the languages with the longest words, and in one that is written right to left: nothing is cut off or
overflows, except tables, which scroll inside themselves.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.browser.overflow import NORMAL, ZOOMED, overflowing
from tests.devices import Device, tv
from tests.factories import Person
from tests.functional.admin.conftest import make_administrator
from tests.invitations import invite
from tests.oidc import register

LANGUAGES = ("de", "pl", "ar")
SIZES = ((ZOOMED, NORMAL), (ZOOMED, "200%"), (1280, NORMAL))

STRANGERS = (
    "/us-signin", "/register", "/wan-signin", "/recover", "/confirm", "/not-me/none", "/sign-in-link/none",
    "/us-signin/none", "/my-data/keep/none", "/recover/cancel/none", "/nothing-here", "/dev/inbox", "/device",
)  # fmt: skip
OWNERS = (
    "/", "/sessions", "/activity", "/my-data", "/tokens", "/identities", "/change-email", "/us-setup", "/wan-register",
    "/mf-recovery-codes", "/tf-setup", "/us-verify", "/apps", "/device",
)  # fmt: skip
CONSOLE = (
    "/admin", "/admin?span=30d", "/admin/people", "/admin/people?q=nobody-has-this", "/admin/groups",
    "/admin/groups/staff", "/admin/apps", "/admin/invitations?state=all", "/admin/attempts?support_id=AAAAAAAA",
    "/admin/outbox?state=abandoned", "/admin/outbox?state=retrying", "/admin/webhooks", "/admin/audit",
    "/admin/audit?from=2026-13-01", "/admin/settings?all=1",
)  # fmt: skip

SHOW = """async ([path, language]) => {
  const answer = await fetch(path, { headers: { Accept: "text/html", "Accept-Language": language } });
  const there = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.documentElement.lang = there.documentElement.lang;
  document.documentElement.dir = there.documentElement.dir;
  document.body.replaceWith(there.body);
  for (const part of document.querySelectorAll("details")) part.open = true;
  return [there.documentElement.lang, Boolean(document.querySelector("main h1"))];
}"""
"""Replaces the page with that of another path, in a language; style sheets and scripts stay."""


@pytest.fixture
def ada(shared_app, people, email, phone) -> Person:
    """An administrator whose account has nearly everything that one can have."""
    ada = people.open(email=email, phone=phone, methods=["email", "sms", "authenticator"], second="authenticator,sms")
    people.give(ada, "email", f"a-rather-long-address-of-somebody-{email}")
    people.give_codes(ada)
    return make_administrator(shared_app, ada)


@pytest.fixture
def things(shared_app, ada, email) -> list[str]:
    """Fill the console's lists; return the pages of their entries, and those of apps and a device."""
    from app import clock
    from app.extensions import db
    from app.groups import service as groups
    from app.outbox import Message
    from app.users import User
    from app.webhooks import endpoints

    long = "Zugriffsverwaltungsoberfläche"
    rp = register(shared_app, f"zoom-{email}", name=long, consent="ask", home_url="https://a-long-name.example.com/")
    device = tv(shared_app, f"zoom-tv-{email}", name=long, consent="ask")
    invite(shared_app, email=f"new-{email}")
    link = invite(shared_app)
    with shared_app.app_context():
        handle = db.session.get_one(User, ada.id).handle
        groups.create("zoomed", "Verwaltungsmitarbeiterinnen", by="operator")
        groups.add_member("zoomed", ada.id, by="operator")
        hook = "https://hooks.example.com/a/rather/long/path"
        endpoint, _ = endpoints.create(hook, ["account.*", "session.ended"], by="operator")
        endpoints.queue_test(endpoint.id)
        row = {"kind": "code", "channel": "mail", "to": email, "facts": {}, "created_at": clock.now(), "attempts": 2,
               "destination": "example.com", "last_error": "mail server not ready (451)"}  # fmt: skip
        db.session.add(Message(state="abandoned", next_attempt_at=None, **row))
        db.session.add(Message(state="waiting", next_attempt_at=clock.now() + timedelta(hours=1), **row))
        db.session.commit()
    return [
        f"/admin/people/{handle}", "/admin/groups/zoomed", f"/admin/apps/client?id={rp.id}", link,
        f"/admin/webhooks/{endpoint.id}", rp.request(), rp.request(prompt="select_account"),
        f"/device?user_code={Device(device).user_code}",
    ]  # fmt: skip


def set_language(app: Any, person: Person, language: str) -> None:
    """Set the language of an account."""
    from app.extensions import db
    from app.users import User

    with app.app_context():
        db.session.get_one(User, person.id).language = language
        db.session.commit()


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_fit_the_screen_zoomed_in_long_and_right_to_left_languages(
    new_browser, sign_in, ada, things, shared_app, language
):
    set_language(shared_app, ada, language)
    stranger, owner = new_browser(), new_browser()
    sign_in(ada, owner)
    faults = []
    for page, paths in ((stranger, STRANGERS), (owner, (*OWNERS, *CONSOLE, *things))):
        page.goto("/us-signin")
        for path in paths:
            assert page.evaluate(SHOW, [path, language]) == [language, True], path
            faults += [f"{path}, {fault}" for width, size in SIZES for fault in overflowing(page, width, size)]
    assert faults == []
