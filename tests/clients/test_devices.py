"""Devices without a browser, with third-party clients: Ada enters their code in Chromium, and decides."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
import requests
from requests_oauth2client import AccessDenied, AuthorizationPending, InvalidGrant, OAuth2Client, SlowDown

from tests.clients.agent import Agent
from tests.devices import GRANT

pytestmark = pytest.mark.one_database

GRANTS = {"grant_types": [GRANT, "refresh_token"], "consent": "ask"}


@pytest.fixture
def press(page):
    """Presses a button, and waits for the next page: ``press("Allow")``."""

    def press(name: str) -> None:
        with page.expect_navigation():
            page.get_by_role("button", name=name, exact=True).click()

    return press


@pytest.fixture
def run(node, issuer, register, page):
    """Runs the script with a client; ``steps`` are the user's actions at the URL that the device shows."""

    def run(*steps, public=False, **options):
        party = register(name="TV", public=public, **GRANTS)
        running = node("devices.mjs", issuer=issuer, id=party.id, secret=party.secret, **options)
        shown = running.read()
        assert shown["verification_uri"] == f"{issuer}/device"
        assert (shown["expires_in"], shown["interval"]) == (600, 5)
        page.goto(shown["visit"])
        for step in steps:
            step()
        running.write("decided")
        return running.read()

    return run


@pytest.fixture
def decide(press):
    """Returns the steps of a user who is signed in."""
    return lambda button: (lambda: press("Continue"), lambda: press(button))


@pytest.mark.parametrize("public", [True, False], ids=["public", "secret"])
def test_openid_client_completes_the_device_flow(run, enter_code, page, decide, ada, public):
    arrives = lambda: page.get_by_label("Code on your device").wait_for()  # noqa: E731
    found = run(enter_code, arrives, *decide("Allow"), public=public, client="openid-client")
    assert (found["userinfo"]["email"], found["same"], found["type"]) == (ada.email, True, "bearer")


def test_openid_client_gets_access_denied(run, session_here, decide):
    found = run(*decide("Don't allow"), public=True, client="openid-client")
    assert (found["error"], found["status"]) == ("access_denied", 400)


@pytest.mark.parametrize("dpop", [False, True], ids=["bearer", "DPoP"])
def test_oauth4webapi_polls_and_gets_bearer_or_dpop_tokens(run, session_here, decide, ada, dpop):
    found = run(*decide("Allow"), public=True, client="oauth4webapi", dpop=dpop)
    assert (found["pending"]["error"], found["early"]["error"]) == ("authorization_pending", "slow_down")
    assert found["userinfo"]["email"] == ada.email
    assert (found["type"], found["stolen"]) == (("dpop", 401) if dpop else ("bearer", 200))
    assert found["twice"]["error"] == "invalid_grant"


@pytest.mark.parametrize("button", ["Allow", "Don't allow"])
def test_requests_oauth2client_handles_approval_and_denial(issuer, register, page, session_here, press, ada, button):
    party = register(name="Backup", **GRANTS)
    about = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=10).json()
    client = OAuth2Client.from_discovery_document(
        about, client_id=party.id, client_secret=party.secret, testing=True,
        device_authorization_endpoint=about["device_authorization_endpoint"],  # the client ignores it
    )  # fmt: skip
    device = client.authorize_device(scope="openid email")
    with pytest.raises(AuthorizationPending):
        client.device_code(device)
    with pytest.raises(SlowDown):
        client.device_code(device)
    page.goto(device.verification_uri)
    page.get_by_label("Code on your device").fill(device.user_code.replace("-", " ").lower())
    press("Continue")
    press(button)
    if button == "Allow":
        assert client.userinfo(client.device_code(device))["email"] == ada.email
        with pytest.raises(InvalidGrant):
            client.device_code(device)
    else:
        with pytest.raises(AccessDenied):
            client.device_code(device)


def test_oidc_agent_completes_the_device_flow(issuer, register, page, session_here, press):
    party = register(name="oidc-agent", public=True, **GRANTS)
    with tempfile.TemporaryDirectory(prefix="agent-") as directory:
        agent = Agent(Path(directory))
        try:
            url = agent.add(
                "latchkey", f"--issuer={issuer}", f"--client-id={party.id}", "--client-secret=", "--manual",
                "--redirect-uri=", "--scope=openid email offline_access", "--flow=device",
            )  # fmt: skip
            page.goto(url)
            (code,) = re.findall(r"enter the code: (\S+)", agent.output)
            page.get_by_label("Code on your device").fill(code)
            press("Continue")
            press("Allow")
            agent.added()
            first = agent.token("latchkey")
            assert agent.token("latchkey", "--force-new") != first
        finally:
            agent.stop()
