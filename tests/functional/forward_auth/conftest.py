"""Protected apps, a proxy in front of them, and people."""

from __future__ import annotations

import pytest

from tests.forward_auth import FILE, Proxy
from tests.signed_in import sign_in
from tests.wire import Wire


@pytest.fixture
def apps_file(file_of):
    """The file with the protected apps."""
    return file_of(FILE)


@pytest.fixture
def app(make_app, apps_file, clock):
    """The application with the apps of the file, and one listed proxy."""
    return make_app(apps_file=str(apps_file), forward_auth_proxies=("10.0.0.0/29",))


@pytest.fixture
def ada(people):
    """Someone with an email address and a username."""
    return people.open(email="ada@example.com", username="ada", methods=["email"])


@pytest.fixture
def browser(app, ada) -> Wire:
    """Ada's browser, signed in here."""
    return sign_in(Wire(app, "form"), ada)


@pytest.fixture(params=["nginx", "forward", "envoy"])
def dialect(request) -> str:
    """Each format of proxies' requests."""
    return request.param


@pytest.fixture
def proxy(browser) -> Proxy:
    """A proxy that Ada's browser comes through."""
    return Proxy(browser)


@pytest.fixture
def stranger(app) -> Proxy:
    """A proxy with a browser in which nobody is signed in."""
    return Proxy(Wire(app, "form"))
