"""Apps and people for OpenID Connect."""

from __future__ import annotations

import pytest

from tests.oidc import RelyingParty, register
from tests.signed_in import sign_in
from tests.wire import Wire


@pytest.fixture
def ada(people):
    """Someone with an email address and a username."""
    return people.open(email="ada@example.com", username="ada", methods=["email"])


@pytest.fixture
def browser(app, ada) -> Wire:
    """Ada's browser, signed in."""
    return sign_in(Wire(app, "form"), ada)


@pytest.fixture
def grafana(app) -> RelyingParty:
    """An app with a secret that people needn't allow anything."""
    return register(app)
