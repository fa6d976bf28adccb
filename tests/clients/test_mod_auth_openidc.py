"""Debian's libapache2-mod-auth-openidc, following docs/integrate/apache.md: an app that reads headers."""

from __future__ import annotations

import sys
import time

import pytest
import requests
from flask import Flask, request

from tests.clients.apache import apache
from tests.clients.recipes import follow
from tests.serving import free_port
from tests.sinks import until

pytestmark = pytest.mark.one_database


def app_behind() -> Flask:
    """Return an app that shows the user's headers from the proxy."""
    app = Flask("behind")

    @app.get("/")
    @app.get("/private/")
    def home():
        names = request.headers.get("Claim-groups", "")
        return f"<h1>{request.headers.get('Claim-email', 'Nobody')}</h1><p>{names}</p>"

    return app


@pytest.fixture
def protected(issuer, register, served, tmp_path, staff):
    """The URL of Apache with its app behind it: ``/private/`` is for members of the group."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    recipe = follow("apache", url, issuer, register).block.replace("<passphrase>", "of-a-test")
    with apache(tmp_path, port, app=served(app_behind()).url, recipe=recipe):
        yield url


@pytest.fixture
def signed_in(page, protected, ada, session_here):
    """Ada's browser, signed in at the protected location."""
    page.goto(f"{protected}/private/")
    page.get_by_role("heading", name=ada.email).wait_for()
    return page


def test_claims_reach_the_app_behind_apache(page, protected, ada, enter_code):
    page.goto(f"{protected}/private/")
    enter_code()
    page.get_by_role("heading", name=ada.email).wait_for()
    assert page.url == f"{protected}/private/"
    assert page.locator("p").inner_text() == "staff"


def test_spoofed_claim_headers_are_dropped(protected):
    mine = {"Claim-email": "root@example.com", "Claim-groups": "admins"}
    assert "Nobody" in requests.get(f"{protected}/", headers=mine, timeout=10).text
    answer = requests.get(f"{protected}/private/", headers=mine, timeout=10, allow_redirects=False)
    assert answer.status_code == 302


def test_module_logout_ends_the_provider_session_and_returns(signed_in, protected, live_server):
    signed_in.goto(f"{protected}/private/callback?logout={protected}/")
    signed_in.get_by_role("heading", name="Nobody").wait_for()
    assert signed_in.url.partition("?")[0] == f"{protected}/"
    signed_in.goto(f"{live_server.url}/")
    signed_in.get_by_role("heading", name="Sign in").wait_for()


def test_back_channel_logout_ends_the_apache_session_within_a_second(
    signed_in, protected, live_server, record_property
):
    cookies = {each["name"]: each["value"] for each in signed_in.context.cookies(protected)}

    def is_let_in():
        answer = requests.get(f"{protected}/private/", cookies=cookies, allow_redirects=False, timeout=10)
        return answer.status_code == 200

    assert is_let_in()
    elsewhere = signed_in.context.new_page()
    elsewhere.goto(f"{live_server.url}/")
    with elsewhere.expect_response("**/logout"):
        elsewhere.get_by_role("button", name="Sign out").first.click()
    over = time.monotonic()
    until(lambda: not is_let_in(), every=0.005)
    seconds = time.monotonic() - over
    record_property("seconds", seconds)
    sys.stdout.write(f"signed out by back-channel {seconds * 1000:.0f} ms after the answer\n")
    assert seconds < 1
