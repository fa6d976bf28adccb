"""PyPI Authlib in a Flask app, following docs/integrate/flask.md: discovery, PKCE, signing out of both."""

from __future__ import annotations

import pytest
from flask import Flask, session

from tests.clients.recipes import follow
from tests.serving import free_port

pytestmark = pytest.mark.one_database


@pytest.fixture
def app(issuer, register, served):
    """The app, served and registered."""
    port = free_port()
    app = Flask("notes")
    app.secret_key = "of a test"

    @app.get("/")
    def home():
        who = session.get("user")
        return f"<h1>{who['email']}</h1><p>{', '.join(who['groups'])}</p>" if who else "<h1>Nobody</h1>"

    recipe = follow("flask", f"http://127.0.0.1:{port}", issuer, register)
    exec(recipe.block, {"app": app})
    return served(app, port=port)


def test_user_signs_in_with_email_and_groups_and_out_of_app_and_provider(page, app, ada, enter_code, live_server):
    page.goto(f"{app.url}/sign-in")
    enter_code()
    page.get_by_role("heading", name=ada.email).wait_for()
    assert page.locator("p").inner_text() == "staff"
    assert page.url == f"{app.url}/"
    page.goto(f"{app.url}/sign-out")
    page.get_by_role("heading", name="Nobody").wait_for()
    assert page.url == f"{app.url}/"
    page.goto(f"{live_server.url}/")
    page.get_by_role("heading", name="Sign in").wait_for()
