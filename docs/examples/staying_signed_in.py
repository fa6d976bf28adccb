"""A client that signs in once and stays signed in: python staying_signed_in.py http://localhost:8000 ada@example.com

Asks for a code the first time; afterwards its tokens are in ~/.latchkey-example.json, readable by its owner only.
Nothing to install. Run it once at a time: two that exchange the same refresh token end the session for both.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

STORE = Path(os.environ.get("LATCHKEY_EXAMPLE_STORE", Path.home() / ".latchkey-example.json"))


class SignInNeeded(Exception):
    """The tokens are gone or expired: someone has to type a code."""


class Client:
    """Speaks JSON to one service, and exchanges the refresh token when the access token has expired."""

    def __init__(self, site: str) -> None:
        self.site = site.rstrip("/")
        self.tokens: dict[str, str] = json.loads(STORE.read_text()) if STORE.exists() else {}

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer of ``path``. Raises SignInNeeded."""
        if not self.tokens:
            raise SignInNeeded
        status, response = self._ask("GET", path, token=self.tokens["authentication_token"])
        if status == 401:
            self._exchange()
            status, response = self._ask("GET", path, token=self.tokens["authentication_token"])
        if status != 200:
            raise SystemExit(f"{path}: {' '.join(response['errors'])}")
        return response

    def send_code(self, identity: str) -> str:
        """Request a code; return the challenge to send back with it."""
        _, response = self._ask("POST", "/us-signin/send-code", {"identity": identity, "chosen_method": "email"})
        return str(response["challenge"])

    def sign_in(self, identity: str, passcode: str, challenge: str) -> None:
        """Sign in with a code and keep the tokens. Raises SignInNeeded when the code is wrong."""
        path = "/us-signin?include_auth_token&include_refresh_token"
        fields = {"identity": identity, "passcode": passcode, "challenge": challenge}
        status, response = self._ask("POST", path, fields)
        if status != 200:
            raise SignInNeeded
        self._keep(response["user"])

    def sign_out(self) -> None:
        """End the session, even when the access token has expired, and forget the tokens."""
        self._ask("POST", "/logout", {"refresh_token": self.tokens.get("refresh_token", "")})
        STORE.unlink(missing_ok=True)

    def _exchange(self) -> None:
        status, response = self._ask("POST", "/us-refresh", {"refresh_token": self.tokens["refresh_token"]})
        if status == 401:  # expired, ended, or someone else has used it
            STORE.unlink(missing_ok=True)
            raise SignInNeeded
        if status != 200:
            raise SystemExit(" ".join(response["errors"]))
        self._keep(response["user"])

    def _keep(self, user: dict[str, str]) -> None:
        """Store the tokens before any of them is used: the exchanged one is void now."""
        self.tokens = {name: user[name] for name in ("authentication_token", "refresh_token")}
        draft = STORE.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self.tokens, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(STORE)

    def _ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, token: str = ""
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Accept": "application/json"}
        if fields is not None:
            headers["Content-Type"] = "application/json"
        if token:
            headers["Authentication-Token"] = token
        body = None if fields is None else json.dumps(fields).encode()
        request = urllib.request.Request(self.site + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)["response"]
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)["response"]


def main() -> None:
    """Say who is signed in; sign in first if needed, and sign out with ``--out``."""
    site, identity = sys.argv[1:3]
    client = Client(site)
    if "--out" in sys.argv:
        return client.sign_out()
    try:
        me = client.get("/")
    except SignInNeeded:
        challenge = client.send_code(identity)
        client.sign_in(identity, input("The code from your mail: ").strip(), challenge)
        me = client.get("/")
    print(f"Signed in as {me['user'].get('email')}")
    return None


if __name__ == "__main__":
    main()
