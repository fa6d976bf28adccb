"""The client and the user of the certification suite's plans."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.browser import Browser
from tests.conformance.suite import Suite
from tests.oidc import RelyingParty, register

BASE = "https://suite.example.com/test/a/latchkey"


@pytest.fixture
def ada(people):
    """Someone of whom all is known that is known of people here."""
    return people.open(email="ada@example.com", phone="+4915112345678", username="ada", methods=["email"])


@pytest.fixture
def client_of(app):
    """Registers clients as the suite's are: confidential, without a duty to use PKCE, and not trusted."""

    def make(client_id: str = "conformance", **different: Any) -> RelyingParty:
        usual = {
            "name": "Conformance suite",
            "redirect_uris": [f"{BASE}/callback"],
            "post_logout_redirect_uris": [f"{BASE}/post_logout_redirect"],
            "pkce": "optional",
            "consent": "ask",
        }
        return register(app, client_id, **(usual | different))

    return make


@pytest.fixture
def person(app, ada, mail_to) -> Browser:
    """Ada at her browser, signed out."""
    return Browser(app, ada, mail_to)


@pytest.fixture
def suite(client_of, person) -> Suite:
    """The suite with its first client."""
    return Suite(client_of(), person)
