"""An app that leaves signing in to Latchkey: python an_app_behind_it.py http://localhost:8000 9000

    LATCHKEY_POST_LOGIN_URL=http://localhost:9000/ make run

It asks Latchkey who is signed in, with the visitor's cookie, on each request, so signing out works here, too.
Cookies belong to a host, whatever its port. In production a proxy serves both on one host: /app here, all else there.
Nothing to install.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = "<!doctype html><meta charset=utf-8><title>An app</title><h1>Hello, {}</h1><p><a href='{}'>Your account</a>"


def who(site: str, cookies: str) -> dict[str, Any] | None:
    """Return the user that these cookies sign in, with ``aal`` and ``amr``; None when they sign nobody in."""
    request = urllib.request.Request(f"{site}/", headers={"Accept": "application/json", "Cookie": cookies})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)["response"]
            return found
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return None
        raise


class App(BaseHTTPRequestHandler):
    """Greets people who are signed in, and sends everyone else to sign in."""

    site = ""

    def do_GET(self) -> None:
        """Answer a visitor."""
        found = who(self.site, self.headers.get("Cookie", ""))
        if found is None:
            self.send_response(303)
            self.send_header("Location", f"{self.site}/us-signin")
            self.end_headers()
            return
        user = found["user"]
        name = user.get("username") or user.get("email") or user.get("phone")
        body = PAGE.format(escape(name), escape(self.site)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    App.site = sys.argv[1].rstrip("/")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), App).serve_forever()
