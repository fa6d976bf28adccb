"""An OpenID Connect relying party simulated by tests: it keeps no cookies and checks the responses."""

from __future__ import annotations

import base64
import hashlib
import secrets as random
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.test import TestResponse

from tests.openapi import check_answer
from tests.wire import Wire

REDIRECT = "https://app.example.com/callback"
ISSUER = "http://localhost"


@dataclass
class RelyingParty:
    """An app with its own registration.

    :ivar verifier: PKCE verifier of its latest request
    """

    app: Flask
    id: str
    secret: str = ""
    redirect_uri: str = REDIRECT
    verifier: str = ""
    nonce: str = ""
    state: str = ""
    http: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.http = self.app.test_client(use_cookies=False)

    def request(self, **different: Any) -> str:
        """Return the URL of a new request. Parameters set to None are left out; a list is sent as several values."""
        return f"/oauth/authorize?{urlencode(self.parameters(**different), doseq=True)}"

    def parameters(self, **different: Any) -> dict[str, Any]:
        """Return the parameters of a new request, without those set to None."""
        self.verifier, self.nonce, self.state = (random.token_urlsafe(32) for _ in range(3))
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters: dict[str, Any] = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        parameters |= different
        return {name: value for name, value in parameters.items() if value is not None}

    def push(self, headers: dict[str, str] | None = None, **different: Any) -> TestResponse:
        """Push a new request (RFC 9126)."""
        return self.post("/oauth/par", headers=headers, **self.parameters(**different))

    def pushed(self, **different: Any) -> str:
        """Push a request; return the URL to send a browser to."""
        response = self.push(**different)
        assert response.status_code == 201, response.text
        return f"/oauth/authorize?{urlencode({'client_id': self.id, 'request_uri': response.json['request_uri']})}"

    def answer(self, response: TestResponse) -> dict[str, str]:
        """Return the parameters of the redirect back to the app, after checking its exact URL."""
        location = response.headers.get("Location", "")
        assert location.partition("?")[0] == self.redirect_uri.partition("?")[0], (response.status, location)
        given = parse_qs(urlsplit(location).query, strict_parsing=True, keep_blank_values=True)
        assert all(len(values) == 1 for values in given.values())
        return {name: values[0] for name, values in given.items()}

    def code(self, wire: Wire, **different: Any) -> str:
        """Return the code that a signed-in browser gets without interaction."""
        answer = self.answer(wire.client.get(self.request(**different)))
        assert (answer["state"], answer["iss"]) == (self.state, ISSUER)
        return answer["code"]

    def post(
        self, path: str, /, *, auth: bool = True, headers: dict[str, str] | None = None, **fields: Any
    ) -> TestResponse:
        """Call an endpoint with a form, authenticated with HTTP Basic, or for a public client with its client ID."""
        headers = dict(headers or {})
        if auth and self.secret:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{self.id}:{self.secret}".encode()).decode()
        elif auth:
            fields = {"client_id": self.id} | fields
        data = {name: value for name, value in fields.items() if value is not None}
        response: TestResponse = self.http.post(path, data=data, headers=headers)
        check_answer("POST", path, response)
        return response

    def exchange(self, code: str, **different: Any) -> TestResponse:
        """Exchange a code."""
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        return self.post("/oauth/token", **(fields | {"code_verifier": self.verifier} | different))

    def refresh(self, token: str, **more: Any) -> TestResponse:
        """Exchange a refresh token."""
        return self.post("/oauth/token", grant_type="refresh_token", refresh_token=token, **more)

    def tokens(self, wire: Wire, **different: Any) -> dict[str, Any]:
        """Return the tokens that the app gets for a signed-in browser."""
        response = self.exchange(self.code(wire, **different))
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json
        return found

    def userinfo(self, token: str, headers: dict[str, str] | None = None) -> TestResponse:
        """Request userinfo with these headers, by default with the token as a bearer token."""
        sent = {"Authorization": f"Bearer {token}"} if headers is None else headers
        response: TestResponse = self.http.get("/oauth/userinfo", headers=sent)
        check_answer("GET", "/oauth/userinfo", response)
        return response

    def claims(self, id_token: str) -> dict[str, Any]:
        """Return the claims of an ID token, after verifying its signature with the published keys."""
        from app.oidc import keys as ours

        with self.app.app_context():
            keys = KeySet.import_key_set(ours.public_set())
        return dict(jwt.decode(id_token, keys, algorithms=["RS256", "ES256", "EdDSA", "Ed25519"]).claims)


def work(app: Flask) -> int:
    """End what clients were given that were disabled or deleted, as a worker does; return how many turns that took."""
    from app.extensions import db
    from app.oidc.client_ends import end_due

    turns, never = 0, threading.Event()
    with app.app_context():
        while end_due(never):
            db.session.commit()
            turns += 1
    return turns


def register(app: Flask, client_id: str = "grafana", *, public: bool = False, **fields: Any) -> RelyingParty:
    """Register an app in the database, as ``flask clients create`` does, and return it."""
    from app.crypto import secrets
    from app.extensions import db
    from app.oidc.clients import client_of
    from app.oidc.models import OAuthClient

    secret = "" if public else secrets.token()
    registered = {"name": "Grafana", "redirect_uris": [REDIRECT], "consent": "trusted"} | fields
    if public:
        registered["auth_method"] = "none"
    with app.app_context():
        row = OAuthClient(id=client_id, source="command", registered=registered)
        row.secret_digest = secrets.digest(secret) if secret else None
        db.session.add(row)
        db.session.commit()
        client_of(row)
    return RelyingParty(app, client_id, secret, redirect_uri=registered["redirect_uris"][0])
