"""Debian's oidc-agent: a native program that is redirected to a port on the user's own machine."""

from __future__ import annotations

import random
import socket
import tempfile
from pathlib import Path

import pytest

from tests.clients.agent import Agent

pytestmark = pytest.mark.one_database


@pytest.fixture
def agent():
    """A running agent; its socket's path has to be short."""
    with tempfile.TemporaryDirectory(prefix="agent-") as directory:
        running = Agent(Path(directory))
        yield running
        running.stop()


def test_oidc_agent_completes_the_code_flow_at_any_port_and_refreshes(agent, register, issuer, page, enter_code, allow):
    party = register(name="oidc-agent", redirect_uris=["http://localhost:4242"], public=True)
    back = f"http://localhost:{registered_port()}"
    url = agent.add(
        "latchkey", "--manual", f"--issuer={issuer}", f"--client-id={party.id}", "--client-secret=",
        f"--redirect-uri={back}", "--scope=openid email offline_access", "--flow=code",
    )  # fmt: skip
    page.goto(url)
    enter_code()
    allow()  # it sends prompt=consent
    page.wait_for_url(f"{back}/**")
    agent.added()
    first = agent.token("latchkey")
    assert agent.token("latchkey", "--force-new") != first


def test_oidc_agent_registers_itself_and_gets_a_token(agent, issuer, initial_access_token, page, session_here, allow):
    port = registered_port()
    url = agent.add(
        "latchkey", f"--issuer={issuer}", f"--at={initial_access_token}", f"--port={port}",
        "--scope=openid email offline_access", "--flow=code",
    )  # fmt: skip
    page.goto(url)
    allow()
    page.wait_for_url(f"http://localhost:{port}/**")
    agent.added()
    assert agent.token("latchkey")


def registered_port() -> int:
    """Return a free port in oidc-agent's range, which has no ephemeral ports."""
    while True:
        with socket.socket() as probe:
            port = random.randrange(20000, 32000)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
