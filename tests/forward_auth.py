"""A proxy in front of apps, simulated by tests: it asks us before each request, in the format of its kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from werkzeug.test import TestResponse

from tests.wire import Wire

PROXY = "10.0.0.2"
NAVIGATION = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
PROGRAM = {"Accept": "application/json"}
IDENTITY = ("Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups")

FILE = """
[apps.wiki]
name = "Wiki"
url = "https://wiki.example.com"

[[apps.wiki.rules]]
paths = ["/public/*", "/health"]
level = "public"

[[apps.wiki.rules]]
paths = ["/admin/*"]
level = "aal2"
groups = ["admins"]

[[apps.wiki.rules]]
paths = ["/internal/*"]
networks = ["192.0.2.0/24"]

[[apps.wiki.rules]]
paths = ["/internal/*", "/metrics"]
level = "deny"

[[apps.wiki.rules]]
paths = ["/hook"]
methods = ["POST"]
level = "public"

[[apps.wiki.rules]]
paths = ["/bank/*"]
max_age = "PT5M"

[[apps.wiki.rules]]
paths = ["/strong"]
level = "aal2"

[[apps.wiki.rules]]
paths = ["/embedded/*"]
cross_site = true

[apps.board]
name = "Board"
url = "https://board.example.org"
groups = ["staff"]
"""


@dataclass
class Proxy:
    """A trusted proxy, and its requests.

    :ivar dialect: ``nginx``, ``forward`` or ``envoy``
    :ivar peer: its IP address
    :ivar was_refused: whether nginx requests the page to show after a denied request
    """

    wire: Wire
    dialect: str = "forward"
    peer: str = PROXY
    visitor: str = "198.51.100.7"
    sent: dict[str, str] = field(default_factory=dict)
    was_refused: bool = False

    def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        replace: dict[str, str | None] | None = None,
    ) -> TestResponse:
        """Ask whether to allow a visitor's request, with the visitor's cookies for that host.

        :param replace: overrides for the proxy's own headers; None leaves one out
        """
        scheme, _, rest = url.partition("://")
        host, slash, target = rest.partition("/")
        target = f"/{target}" if slash else "/"
        own, path, verb = self._own(scheme, host, target, method)
        own |= {"X-Forwarded-For": self.visitor}
        for name, value in (replace or {}).items():
            own.pop(name, None)
            if value is not None:
                own[name] = value
        sent: dict[str, Any] = (NAVIGATION if headers is None else headers) | own
        return self.wire.client.open(
            path, method=verb, headers=sent, base_url=f"{scheme}://{host}", environ_base={"REMOTE_ADDR": self.peer}
        )

    def _own(self, scheme: str, host: str, target: str, method: str) -> tuple[dict[str, str], str, str]:
        if self.dialect == "nginx":
            url, path = f"{scheme}://{host}{target}", "/gate/nginx/refused" if self.was_refused else "/gate/nginx"
            return {"X-Original-URL": url, "X-Original-Method": method}, path, "GET"
        if self.dialect == "forward":
            own = {"X-Forwarded-Host": host, "X-Forwarded-Uri": target, "X-Forwarded-Method": method}
            return own | {"X-Forwarded-Proto": scheme}, "/gate/forward", "GET"
        return {"X-Forwarded-Proto": scheme}, f"/gate/envoy{target}", method

    def follow(self, answer: TestResponse) -> TestResponse:
        """Follow a redirect once, as a browser does."""
        return self.open(answer.headers["Location"])

    def open(self, url: str, **headers: str) -> TestResponse:
        """Open one of our URLs, on an app's host or our own."""
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}" if parts.netloc else "http://localhost"
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        return self.wire.client.get(target, base_url=base, headers=NAVIGATION | headers)

    def enter(self, url: str) -> TestResponse:
        """Go from an app to the sign-in and back, as a signed-in user; return the last response."""
        answer = self.ask(url)
        assert answer.status_code in (302, 401), answer
        answer = self.follow(answer)  # /.latchkey/start
        answer = self.follow(answer)  # /gate/continue
        assert answer.status_code == 303, answer.text
        answer = self.follow(answer)  # /.latchkey/enter
        assert answer.status_code == 303, answer.text
        return answer


def identity_of(answer: TestResponse) -> list[str | None]:
    """Return the four identity headers of a response; None for a missing one."""
    return [answer.headers.get(name) for name in IDENTITY]


def query_of(url: str) -> dict[str, str]:
    """Return the query parameters of a URL, which must be unique."""
    found = parse_qs(urlsplit(url).query, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values()), url
    return {name: values[0] for name, values in found.items()}
