"""Debian's libapache2-mod-auth-openidc before an app that reads who signed in from headers."""

from __future__ import annotations

import pytest
from flask import Flask, request

from tests.clients.apache import apache
from tests.serving import free_port

pytestmark = pytest.mark.one_database


def app_behind() -> Flask:
    """Return an app that shows what the proxy says of the visitor."""
    app = Flask("behind")

    @app.get("/")
    @app.get("/private/")
    def home():
        names = request.headers.get("Claim-groups", "")
        return f"<h1>{request.headers.get('Claim-email', 'Nobody')}</h1><p>{names}</p>"

    return app


@pytest.fixture
def protected(issuer, register, served, tmp_path, staff):
    """Where Apache answers, its app behind it: ``/private/`` is for members of the group."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    party = register(name="Intranet", redirect_uris=[f"{url}/private/callback"])
    behind = served(app_behind())
    values = {"issuer": issuer, "client_id": party.id, "secret": party.secret, "app": behind.url, "group": staff}
    with apache(tmp_path, port, **values):
        yield url


def test_claims_reach_the_app_behind_it(page, protected, ada, enter_code):
    page.goto(f"{protected}/private/")
    enter_code()
    page.get_by_role("heading", name=ada.email).wait_for()
    assert page.url == f"{protected}/private/"
    assert page.locator("p").inner_text() == "staff"
