"""What the OpenID certification suite does as a client: a complete sign-in, and the checks it makes each time."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets as random
from collections import Counter
from dataclasses import dataclass
from math import log2
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jws, jwt
from joserfc.jwk import KeySet
from werkzeug.test import TestResponse

from tests.conformance.browser import Arrived, Browser
from tests.oidc import ISSUER, RelyingParty

DISCOVERY = "/.well-known/openid-configuration"
LEAST_ENTROPY = 96
"""Bits that the suite wants to see in codes and tokens; the requirement is 128, and it can only estimate."""

NO_PKCE = {"code_challenge": None, "code_challenge_method": None}
DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+\Z")
TOKEN = re.compile(r"[\x20-\x7e]+\Z")
IN_USER_INTERFACE = {"interaction_required", "login_required", "account_selection_required", "consent_required"}
OF_SCOPES = ("name", "preferred_username", "locale", "email", "email_verified", "phone_number", "groups")


@dataclass(frozen=True)
class SignedIn:
    """What a client has after a sign-in.

    :ivar tokens: the answer of the token endpoint
    :ivar header: of the ID token
    :ivar claims: of the ID token
    :ivar userinfo: what the userinfo endpoint says
    """

    code: str
    tokens: dict[str, Any]
    header: dict[str, Any]
    claims: dict[str, Any]
    userinfo: dict[str, Any]


class Suite:
    """A client under the suite's conditions: it has a secret, asks for consent, and may leave PKCE out."""

    def __init__(self, rp: RelyingParty, browser: Browser) -> None:
        self.rp = rp
        self.browser = browser
        self.metadata: dict[str, Any] = rp.http.get(DISCOVERY).json
        self.jwks: dict[str, Any] = rp.http.get(self.path("jwks_uri")).json

    def path(self, name: str) -> str:
        """Return the path of an endpoint, from the metadata."""
        address: str = self.metadata[name]
        assert address.startswith(f"{ISSUER}/")
        return address.removeprefix(ISSUER)

    def request(self, **asked: Any) -> str:
        """Return the address of an authorization request."""
        query = self.rp.request(**(NO_PKCE | asked)).partition("?")[2]
        return f"{self.metadata['authorization_endpoint']}?{query}"

    def sign_in(self, *, method: str = "client_secret_basic", **asked: Any) -> SignedIn:
        """Have the person sign in, and get and check everything that a client gets."""
        arrived = self.browser.open(self.request(**asked))
        return self.complete(arrived, method=method, with_nonce="nonce" not in asked)

    def complete(
        self, arrived: Arrived, *, method: str = "client_secret_basic", with_nonce: bool = True, **fields: Any
    ) -> SignedIn:
        """Get and check everything that a client gets for the code that a browser brought."""
        code = self.code_of(arrived)
        tokens = self.tokens_of(self.exchange(code, method=method, **fields))
        header, claims = self.read(tokens["id_token"])
        check_id_token(claims, self.rp.id)
        assert claims["at_hash"] == left_half(tokens["access_token"])
        assert claims.get("nonce") == (self.rp.nonce if with_nonce else None)
        userinfo = self.userinfo_of(self.rp.userinfo(tokens["access_token"]))
        assert userinfo["sub"] == claims["sub"]
        return SignedIn(code, tokens, header, claims, userinfo)

    def code_of(self, arrived: Arrived) -> str:
        """Return the code of a successful answer: state and issuer with it, and no more."""
        answer = self.answer_of(arrived)
        assert answer.keys() == {"code", "state", "iss"}, answer
        assert (answer["state"], answer["iss"]) == (self.rp.state, self.metadata["issuer"])
        assert entropy(answer["code"]) > LEAST_ENTROPY
        return answer["code"]

    def error_of(self, arrived: Arrived) -> str:
        """Return the error of a refusal that came back to the client."""
        answer = self.answer_of(arrived)
        assert answer.keys() <= {"error", "error_description", "state", "iss"}, answer
        assert (answer["state"], answer["iss"]) == (self.rp.state, self.metadata["issuer"])
        assert DESCRIPTION.match(answer["error_description"])
        return answer["error"]

    def answer_of(self, arrived: Arrived) -> dict[str, str]:
        """Return the parameters that a browser brought back to the client."""
        assert not arrived.is_page, (arrived.url, arrived.page.heading, arrived.page.errors)
        assert arrived.url.partition("?")[0] == self.rp.redirect_uri
        given = parse_qs(urlsplit(arrived.url).query, strict_parsing=True, keep_blank_values=True)
        assert {len(values) for values in given.values()} == {1}
        return {name: values[0] for name, values in given.items()}

    def exchange(self, code: str, *, method: str = "client_secret_basic", **fields: Any) -> TestResponse:
        """Send a code to the token endpoint."""
        given = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.rp.redirect_uri}
        return self.ask_for_tokens(given | fields, method=method)

    def ask_for_tokens(self, given: dict[str, Any], *, method: str = "client_secret_basic") -> TestResponse:
        """Call the token endpoint, the client authenticated by one method or the other."""
        if method == "client_secret_basic":
            return self.rp.post(self.path("token_endpoint"), **given)
        own = {"client_id": self.rp.id, "client_secret": self.rp.secret}
        return self.rp.post(self.path("token_endpoint"), auth=False, **(given | own))

    def tokens_of(self, response: TestResponse) -> dict[str, Any]:
        """Return the members of a successful answer of the token endpoint (RFC 6749, section 5.1)."""
        assert response.status_code == 200, response.text
        check_json(response)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Pragma"] == "no-cache"
        tokens: dict[str, Any] = response.json
        assert tokens["token_type"].lower() == "bearer"
        assert isinstance(tokens["expires_in"], int)
        assert tokens["expires_in"] > 0
        for name in {"access_token", "refresh_token"} & tokens.keys():
            assert TOKEN.match(tokens[name])
            assert entropy(tokens[name]) > LEAST_ENTROPY
        return tokens

    def token_error_of(self, response: TestResponse) -> str:
        """Return the error of a refusal by the token endpoint (RFC 6749, section 5.2)."""
        assert response.status_code == 400, response.text
        check_json(response)
        assert response.json.keys() <= {"error", "error_description", "error_uri"}
        assert DESCRIPTION.match(response.json["error_description"])
        found: str = response.json["error"]
        return found

    def read(self, id_token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return header and claims of an ID token, once the published key that it names has verified it."""
        header = dict(jws.extract_compact(id_token.encode()).headers())
        (key,) = [key for key in self.jwks["keys"] if key["kid"] == header["kid"]]
        assert (header["alg"], key["alg"], key["use"]) == ("RS256", "RS256", "sig")
        claims = jwt.decode(id_token, KeySet.import_key_set({"keys": [key]}), algorithms=["RS256"]).claims
        return header, dict(claims)

    def userinfo_of(self, response: TestResponse) -> dict[str, Any]:
        """Return the claims of the userinfo endpoint, their types checked (Core, section 5.1 and 5.3.2)."""
        assert response.status_code == 200, response.text
        check_json(response)
        claims: dict[str, Any] = response.json
        assert {name: type(value) for name, value in claims.items()} == {name: type_of(name) for name in claims}
        return claims

    def logout_request(self, **asked: str | None) -> str:
        """Return the address of a logout request."""
        given = {name: value for name, value in asked.items() if value is not None}
        address: str = self.metadata["end_session_endpoint"]
        return f"{address}?{urlencode(given)}" if given else address

    def is_signed_in(self) -> bool:
        """Whether the provider would answer without asking anyone."""
        answer = self.answer_of(self.browser.open(self.request(prompt="none")))
        assert "code" in answer or answer["error"] == "login_required"
        return "code" in answer


def check_json(response: TestResponse) -> None:
    """Check that an answer says that it is JSON."""
    assert response.headers["Content-Type"].partition(";")[0] == "application/json"


def check_id_token(claims: dict[str, Any], client_id: str) -> None:
    """Check what every ID token of a code flow has, and that nothing of the person is in it (Core, section 2, 5.4)."""
    from app import clock

    now = clock.unix()
    assert (claims["iss"], claims["aud"]) == (ISSUER, client_id)
    assert {type(claims[name]) for name in ("exp", "iat", "auth_time")} == {int}
    assert now - 5 < claims["iat"] <= now < claims["exp"] < now + 3600
    assert claims["auth_time"] <= now
    assert 0 < len(claims["sub"]) <= 255
    assert claims["sub"].isascii()
    assert isinstance(claims["acr"], str)
    assert {type(method) for method in claims["amr"]} == {str}
    assert not claims.keys() & set(OF_SCOPES)


def type_of(claim: str) -> type:
    """Return the type that a claim must have (Core, section 5.1)."""
    return {"email_verified": bool, "phone_number_verified": bool, "groups": list}.get(claim, str)


def left_half(token: str) -> str:
    """Return what at_hash must be for RS256 (Core, section 3.1.3.6)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()


def entropy(text: str) -> float:
    """Return Shannon's entropy of a text by its own characters, in bits."""
    counts = Counter(text).values()
    return -sum(count * log2(count / len(text)) for count in counts)


def unsigned(claims: dict[str, Any]) -> str:
    """Return a JWT with ``alg`` none."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


def verifier() -> tuple[str, str]:
    """Return a PKCE verifier and its S256 challenge."""
    chosen = random.token_urlsafe(32)
    digest = hashlib.sha256(chosen.encode()).digest()
    return chosen, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
