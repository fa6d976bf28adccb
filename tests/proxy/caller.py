"""A person with a separate browser at the proxy: one connection, cookies kept, JSON."""

from __future__ import annotations

import json
from typing import Any

from tests.proxy.conftest import HOST, Front


class Caller:
    """Asks by a connection that stays open; ``more`` goes with each request as headers."""

    def __init__(self, front: Front, **more: str) -> None:
        self.connection = front.connect()
        self.more = {name.replace("_", "-"): value for name, value in more.items()}
        self.cookies: dict[str, str] = {}
        self.handed: list[str] = []
        self.headers: dict[str, str] = {}

    def ask(self, method: str, path: str, host: str = HOST, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and what the envelope holds."""
        headers = {"Host": host, "Accept": "application/json", **self.more}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = json.dumps(fields) if fields else None
        headers |= {"Content-Type": "application/json"} if fields else {}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        for line in answer.headers.get_all("Set-Cookie") or []:
            self.handed.append(line)
            name, value = line.split(";")[0].split("=", 1)
            self.cookies[name] = value
        text = answer.read()
        is_json = "json" in self.headers.get("content-type", "")
        return answer.status, json.loads(text).get("response", {}) if is_json else {}

    def post(self, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Post with a CSRF token of this moment."""
        token = self.ask("GET", "/us-signin")[1]["csrf_token"]
        return self.ask("POST", path, csrf_token=token, **fields)
