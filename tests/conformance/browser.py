"""A person at a browser: follows links, signs in by email code, and presses buttons."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from flask import Flask

from tests.factories import Person
from tests.oidc import ISSUER
from tests.pages import Page
from tests.sinks import Mail, code_in

MOST_STEPS = 20
HEADERS = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Sec-Fetch-Dest": "document",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}
_REFRESH = re.compile(r'<meta http-equiv="refresh" content="0; url=([^"]+)"')


@dataclass
class Form:
    """A form of a page: what its controls hold, and its buttons as (name, value, address that it is sent to)."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


class Forms(HTMLParser):
    """The forms of a page, in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", "")))
            self._inside = True
        elif tag == "button" and self._inside:
            form = self.found[-1]
            form.buttons.append((given.get("name", ""), given.get("value", ""), given.get("formaction", form.action)))
        elif tag == "input" and self._inside and "name" in given and given.get("type") not in ("checkbox", "submit"):
            self.found[-1].fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"


@dataclass(frozen=True)
class Arrived:
    """Where a journey ended: at an address that isn't the provider's, or at a page on which nothing can be done.

    :ivar url: the address
    :ivar html: of the page; "" elsewhere
    """

    url: str
    status: int = 0
    html: str = ""

    @property
    def page(self) -> Page:
        """The page, as a person reads it."""
        return Page(self.html)

    @property
    def is_page(self) -> bool:
        """Whether the browser stayed here."""
        return bool(self.html)


class Browser:
    """One browser with its cookies, and the person at it.

    :ivar proofs: how often the person has typed a code
    :ivar pages: headings of the pages that the person saw, in their order
    """

    def __init__(self, app: Flask, person: Person, mail_to: Callable[[str], Mail]) -> None:
        self.app = app
        self.person = person
        self.mail_to = mail_to
        self.client = app.test_client()
        self.proofs = 0
        self.pages: list[str] = []
        self.presses: dict[str, Callable[[Form], tuple[str, dict[str, str]] | None]] = {
            "/us-signin": self._sign_in,
            "/us-verify": self._confirm,
            "/oauth/consent": lambda form: _pressed(form, "allow", "yes"),
            "/oauth/account": lambda form: _pressed(form, "allow", "yes"),
            "/oauth/logout/confirm": lambda form: _pressed(form),
        }

    def open(self, url: str) -> Arrived:
        """Follow a link."""
        return self._go("GET", url, None)

    def submit(self, url: str, fields: dict[str, str]) -> Arrived:
        """Send a form of another site; the cookies stay here, as they are SameSite=Lax."""
        bare = self.app.test_client(use_cookies=False)
        sent = bare.post(urlsplit(url).path, data=fields, headers=HEADERS | {"Origin": "https://suite.example.com"})
        assert sent.status_code == 303, (sent.status, sent.text)
        return self._go("GET", urljoin(url, sent.headers["Location"]), None)

    def forget(self) -> None:
        """Remove all cookies."""
        self.client = self.app.test_client()

    def look(self, url: str) -> Arrived:
        """Follow a link and what it leads to, and press nothing."""
        kept, self.presses = self.presses, {}
        try:
            return self.open(url)
        finally:
            self.presses = kept

    def _go(self, method: str, url: str, fields: dict[str, str] | None) -> Arrived:
        for _ in range(MOST_STEPS):
            if not url.startswith(f"{ISSUER}/"):
                assert method == "GET", "what was typed here must not be sent on"
                return Arrived(url)
            path = url.removeprefix(ISSUER)
            response = self.client.open(path, method=method, data=fields, headers=HEADERS)
            if response.status_code in (301, 302, 303, 307, 308):
                if response.status_code < 307:
                    method, fields = "GET", None
                url = urljoin(url, response.headers["Location"])
                continue
            refresh = _REFRESH.search(response.text)
            if refresh is not None:
                method, fields, url = "GET", None, Page(f'<a href="{refresh[1]}">').links[0]
                continue
            if (step := self._press(response.text)) is None:
                return Arrived(url, response.status_code, response.text)
            method, (address, fields) = "POST", step
            url = urljoin(url, address)
        raise AssertionError(f"no end after {MOST_STEPS} steps: {self.pages}")

    def _press(self, html: str) -> tuple[str, dict[str, str]] | None:
        """Do what the page is for, and return what is sent where; None for a page that leads nowhere."""
        self.pages.append(Page(html).heading)
        for form in Forms(html).found:
            if form.action in self.presses and (step := self.presses[form.action](form)) is not None:
                return step
        return None

    def _sign_in(self, form: Form) -> tuple[str, dict[str, str]] | None:
        if not form.fields.get("chosen_method"):
            form.fields["identity"] = self.person.email
            sending = (address for _, _, address in form.buttons if address == "/us-signin/send-code")
            return next(((address, form.fields) for address in sending), None)
        return self._type_code(form)

    def _confirm(self, form: Form) -> tuple[str, dict[str, str]] | None:
        return self._type_code(form) if "passcode" in form.fields else _pressed(form, "chosen_method", "email")

    def _type_code(self, form: Form) -> tuple[str, dict[str, str]]:
        self.proofs += 1
        form.fields["passcode"] = code_in(self.mail_to(self.person.email))
        return form.action, form.fields


def _pressed(form: Form, name: str = "", value: str = "") -> tuple[str, dict[str, str]] | None:
    """Return what a button sends, and where to; None where the form doesn't have it."""
    for own_name, own_value, address in form.buttons:
        if not name or (own_name, own_value) == (name, value):
            return address, form.fields | ({own_name: own_value} if own_name else {})
    return None
