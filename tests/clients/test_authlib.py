"""PyPI Authlib in a Flask app: it finds out about us by discovery, uses PKCE, and asks userinfo for more."""

from __future__ import annotations

import pytest
from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, session, url_for

from tests.serving import free_port

pytestmark = pytest.mark.one_database


def flask_app(issuer: str, client_id: str, secret: str) -> Flask:
    """Return an app as Authlib's documentation has it."""
    app = Flask("app")
    app.secret_key = "of a test"
    app.config["SESSION_COOKIE_NAME"] = "flask_app"
    oauth = OAuth(app)
    latchkey = oauth.register(
        "latchkey",
        client_id=client_id,
        client_secret=secret,
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile email groups", "code_challenge_method": "S256"},
    )

    @app.get("/")
    def home():
        who = session.get("user")
        return f"<h1>{who['email']}</h1><p>{', '.join(who['groups'])}</p>" if who else "<h1>Nobody</h1>"

    @app.get("/sign-in")
    def sign_in():
        return latchkey.authorize_redirect(url_for("callback", _external=True))

    @app.get("/callback")
    def callback():
        token = latchkey.authorize_access_token()
        assert token["userinfo"]["sub"]
        session["user"] = latchkey.userinfo(token=token)
        session["id_token"] = token["id_token"]
        return redirect("/")

    return app


@pytest.fixture
def app(issuer, register, served):
    """The app, served and registered."""
    port = free_port()
    party = register(name="Notes", redirect_uris=[f"http://127.0.0.1:{port}/callback"])
    return served(flask_app(issuer, party.id, party.secret), port=port)


def test_a_person_signs_in_and_the_app_shows_their_email_and_groups(page, app, ada, enter_code):
    page.goto(f"{app.url}/sign-in")
    enter_code()
    page.get_by_role("heading", name=ada.email).wait_for()
    assert page.locator("p").inner_text() == "staff"
    assert page.url == f"{app.url}/"
