"""docs/examples/an_app_behind_it.py works as described: an app next to the service knows who is signed in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.browser.code_entry import type_code
from tests.databases import ROOT
from tests.serving import free_port
from tests.sinks import code_in, until

EXAMPLE = ROOT / "docs" / "examples" / "an_app_behind_it.py"


@pytest.fixture
def app_behind():
    """The app's URL, once it is started."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def live_server(fresh_database, make_server, app_behind):
    """A service that redirects to the app, and the app, started as its first lines say."""
    server = make_server(fresh_database, workers=1, LATCHKEY_POST_LOGIN_URL=f"{app_behind}/")
    command = [sys.executable, str(EXAMPLE), server.url, app_behind.rpartition(":")[2]]
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield server
    program.terminate()
    program.wait(10)


def is_there(page, address: str) -> bool:
    """Return whether ``address`` responds."""
    try:
        page.goto(address)
    except Exception:  # the app is still starting
        return False
    return True


@pytest.mark.one_database
def test_example_app_recognizes_the_user_until_logout(page, email, smtp, app_behind, live_server):
    until(lambda: is_there(page, app_behind))
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("Email").fill(email)
    page.get_by_role("button", name="Send me a code").click()
    type_code(page, code_in(until(lambda: smtp.to(email))[-1]))
    page.get_by_role("button", name="Confirm and sign in").click()
    page.get_by_role("heading", name=f"Hello, {email}").wait_for()
    assert page.url == f"{app_behind}/"
    page.goto(f"{live_server.url}/")
    page.get_by_role("button", name="Sign out of this browser").click()
    page.get_by_role("heading", name="Sign in", exact=True).wait_for()
    page.goto(app_behind)
    assert page.locator("h1").inner_text() == "Sign in"
