"""One test for both "languages": a browser that posts forms and an API client that posts JSON, with one interface.

def test_wrong_code_is_refused(wire, ...):
    answer = wire.post("/us-signin", identity="ada@example.com", passcode="00000000")
    assert answer.status == 400
    assert answer.codes == ["generic_authn_failed"]
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from flask import Flask, has_app_context
from werkzeug.test import TestResponse

from tests.openapi import check_answer
from tests.pages import Page

Language = Literal["form", "json"]
LANGUAGES: tuple[Language, ...] = ("form", "json")
AUTO = "<a valid token>"


class Answer:
    """A response, with the same interface in both languages.

    For a 303, ``text`` and ``page`` are those of the redirect's target, fetched when a test reads them.
    """

    def __init__(self, language: Language, response: TestResponse, wire: Wire | None = None) -> None:
        self.language = language
        self.response = response
        self.status = response.status_code
        self.headers = response.headers
        self._body = response.get_data().decode(errors="replace")  # archives aren't text
        self._wire = wire

    @cached_property
    def text(self) -> str:
        """The body; for a 303, the body of the page that it redirects to."""
        return self._wire.follow(self).text if self.status == 303 and self._wire else self._body

    def __repr__(self) -> str:
        return f"<Answer {self.language} {self.status} {self.location or ''} {self.errors or ''}>"

    @property
    def ok(self) -> bool:
        """Whether it succeeded: no error status, and no error shown on the page."""
        return self.status < 400 and not self.errors

    @property
    def location(self) -> str | None:
        """The redirect's target."""
        return self.headers.get("Location")

    @cached_property
    def json(self) -> dict[str, Any]:
        """The ``response`` member of the envelope; empty for a page."""
        if self.response.mimetype != "application/json" or not self._body:
            return {}
        body = self.response.get_json()
        found: dict[str, Any] = body.get("response", body)
        return found

    @cached_property
    def page(self) -> Page:
        """The page: its fields, errors, notices and headings."""
        return Page(self.text if self.response.mimetype == "text/html" else "")

    @cached_property
    def errors(self) -> dict[str, list[str]]:
        """Messages by field; "" has those of the form as a whole (on pages also those of hidden fields)."""
        if self.response.mimetype == "application/json":
            found: dict[str, list[str]] = self.json.get("field_errors", {"": self.json.get("errors", [])})
            return {name: texts for name, texts in found.items() if texts}
        return {} if self.status == 303 else self.page.errors

    @cached_property
    def codes(self) -> list[str]:
        """The stable codes of all errors, sorted; on pages derived from the messages."""
        if self.response.mimetype == "application/json":
            return sorted(self.json.get("error_codes", []))
        return sorted(code for texts in self.errors.values() for text in texts for code in codes_of(text))

    @property
    def csrf_token(self) -> str | None:
        """The CSRF token in this response."""
        token: str | None = self.json.get("csrf_token")
        if token is None and self.response.mimetype == "text/html":
            field = re.search(r'<input[^>]*name="csrf_token"[^>]*>', self._body)  # without parsing the whole page
            token = Page(field[0]).value("csrf_token") if field else None
        return token


class Wire:
    """A browser or API client with cookies, speaking one language.

    :param agent: its User-Agent
    :param address: its IP address
    """

    def __init__(self, app: Flask, language: Language, *, agent: str = "", address: str = "127.0.0.1") -> None:
        self.app = app
        self.language = language
        self.agent = agent or AGENTS[language]
        self.address = address
        self.client = app.test_client()
        self._csrf: str | None = None

    def elsewhere(self, **different: str) -> Wire:
        """Return another client of the same language, without this one's cookies."""
        return Wire(self.app, self.language, **({"agent": self.agent, "address": self.address} | different))

    def get(self, path: str, /, *, headers: dict[str, str] | None = None) -> Answer:
        """Get a page, or its JSON."""
        return self.send("GET", path, headers=headers)

    def follow(self, answer: Answer) -> Answer:
        """Follow the redirect of ``answer``."""
        assert answer.location, f"{answer!r} leads nowhere"
        return self.get(answer.location.removeprefix("http://localhost"))

    def post(
        self, path: str, /, *, csrf: str | None = AUTO, headers: dict[str, str] | None = None, **fields: Any
    ) -> Answer:
        """Post ``fields``, as a form or as JSON, with a CSRF token.

        In a form, True becomes a checked box, False and None are left out, and a list is sent as several values.
        :param csrf: a token to send instead of a valid one; None sends none
        """
        token = (self._csrf or self.fetch_csrf()) if csrf == AUTO else csrf
        if token is not None:
            fields["csrf_token"] = token
        if self.language == "json":
            return self.send("POST", path, headers=headers, json=fields)
        form = {name: "y" if value is True else value for name, value in fields.items() if value not in (None, False)}
        return self.send("POST", path, headers=headers, data=form)

    def send(self, method: str, path: str, *, headers: dict[str, str] | None = None, **body: Any) -> Answer:
        """Send any request; ``body`` has arguments of Werkzeug's test client."""
        assert not has_app_context(), "an app context held open around a request hides a forgotten commit"
        accept = "application/json" if self.language == "json" else "text/html"
        response = self.client.open(
            path,
            method=method,
            headers={"Accept": accept, "User-Agent": self.agent} | (headers or {}),
            environ_base={"REMOTE_ADDR": self.address},
            **body,
        )
        answer = Answer(self.language, response, self)
        check_answer(method, path, response)
        if answer.csrf_token or "Set-Cookie" in response.headers:
            self._csrf = answer.csrf_token
        return answer

    def fetch_csrf(self) -> str:
        """Request a CSRF token, and keep it for later posts."""
        headers = {"Accept": "application/json", "User-Agent": self.agent}
        response = self.client.get("/us-signin", headers=headers, environ_base={"REMOTE_ADDR": self.address})
        self._csrf = response.get_json()["response"]["csrf_token"]
        return str(self._csrf)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that would be sent to ``/``."""
        return {cookie.key: cookie.value for cookie in self.client._cookies.values() if cookie.path == "/"}

    def signed_in_as(self) -> str | None:
        """Return the first identity (usually the email address) of the signed-in user, or None."""
        response = self.client.get("/us-signin", headers={"Accept": "application/json"})
        return identity_of(self.app, response.get_json()["response"].get("user"))


class Program:
    """A JSON client without cookies: it sends a token, or returns the ``challenge`` it was given."""

    def __init__(self, app: Flask, *, address: str = "127.0.0.1") -> None:
        self.app = app
        self.address = address
        self.token: str | None = None

    def get(self, path: str, /, **headers: str) -> Answer:
        """Send a GET request with the token, if there is one."""
        return self._send("GET", path, headers)

    def post(self, path: str, /, *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        """Post ``fields`` as JSON with the token, if there is one."""
        return self._send("POST", path, headers or {}, json=fields)

    def signed_in_as(self) -> str | None:
        """Return the first identity of the token's user, or None."""
        return identity_of(self.app, self.get("/us-signin").json.get("user"))

    def _send(self, method: str, path: str, headers: dict[str, str], **body: Any) -> Answer:
        assert not has_app_context(), "an app context held open around a request hides a forgotten commit"
        own = {"Accept": "application/json", "User-Agent": "program/1"}
        if self.token:
            own["Authentication-Token"] = self.token
        response = self.app.test_client(use_cookies=False).open(
            path, method=method, headers=own | headers, environ_base={"REMOTE_ADDR": self.address}, **body
        )
        check_answer(method, path, response)
        return Answer("json", response)


AGENTS = {
    "form": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "json": "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
}


def identity_of(app: Flask, user: dict[str, Any] | None) -> str | None:
    """Return the first identity of the ``user`` in a response; None if there is no user."""
    from app.extensions import db
    from app.users import Identity, User

    if not user:
        return None
    with app.app_context():
        found = sa.select(Identity.value).join(User).where(User.handle == user["id"]).order_by(Identity.id)
        return db.session.scalars(found).first()


def codes_of(text: str) -> list[str]:
    """Return the codes of the messages in ``text``, whatever values they contain."""
    from app.web.messages import MESSAGES

    def said(template: str) -> bool:
        parts = re.split(r"\{[^}]*\}", template)
        return re.search(".+?".join(map(re.escape, parts)), text, re.DOTALL) is not None

    found = [code for code, template in MESSAGES.items() if said(template)]
    return [code for code in found if not any(_within(code, other, MESSAGES) for other in found)]


def _within(code: str, other: str, sentences: dict[str, str]) -> bool:
    return code != other and sentences[code] != sentences[other] and sentences[code] in sentences[other]


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    """Each of the two languages in turn."""
    chosen: Language = request.param
    return chosen


@pytest.fixture
def wire(app: Flask, language: Language) -> Wire:
    """A browser posting forms, then a client posting JSON; the test runs once for each."""
    return Wire(app, language)


@pytest.fixture
def browser_wire(app: Flask) -> Wire:
    """A browser that posts forms, for behavior that only pages have."""
    return Wire(app, "form")


@pytest.fixture
def json_wire(app: Flask) -> Wire:
    """A client that posts JSON with cookies, for behavior that only JSON has."""
    return Wire(app, "json")


@pytest.fixture
def program(app: Flask) -> Program:
    """A JSON client without cookies."""
    return Program(app)
