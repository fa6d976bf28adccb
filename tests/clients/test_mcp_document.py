"""PyPI mcp: an agent that nobody has added signs in by its metadata document; its token is for one server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.clients.mcp_server import PATH, mcp_server
from tests.clients.test_mcp import Agent, Storage
from tests.document_site import DocumentSite
from tests.factories import People
from tests.serving import Server, free_port
from tests.sinks import code_in

pytestmark = pytest.mark.one_database

SECRET = "s3cret-of-the-mcp-server-0123456789abcdef"


@pytest.fixture
def agent_site(tmp_path: Path) -> Iterator[DocumentSite]:
    """The agent's site, on this machine."""
    made = DocumentSite(tmp_path)
    yield made
    made.close()


@pytest.fixture
def live_server(fresh_database, make_server, agent_site: DocumentSite) -> Server:
    """A service that accepts documents on this machine, and trusts that site's certificate."""
    return make_server(
        fresh_database,
        LATCHKEY_CLIENT_DOCUMENTS="everyone",
        LATCHKEY_CLIENT_DOCUMENTS_LOOPBACK="on",
        SSL_CERT_FILE=agent_site.certificate,
    )


@pytest.fixture
def app_beside(live_server: Server) -> Iterator[Flask]:
    """An application on that service's database."""
    from app import create_app
    from app.extensions import db
    from config.settings import Settings

    ours = {name: value for name, value in live_server.environment.items() if name.startswith("LATCHKEY_")}
    values = {name.removeprefix("LATCHKEY_").lower(): value for name, value in ours.items()}
    app = create_app(Settings(**values, log_level="warning"))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def mcp(live_server: Server, app_beside: Flask) -> Iterator[str]:
    """The URL of an MCP server for which any app may request tokens."""
    from app.extensions import db
    from app.oidc import client_store
    from app.oidc.clients import Client

    port = free_port()
    url = f"http://127.0.0.1:{port}{PATH}"
    with app_beside.app_context():
        fields = {"name": "Toy server", "grant_types": (), "serves": (url,), "serves_all": True}
        client_store.create(Client(id="toy", source="command", **fields), by="test", secret=SECRET)
        db.session.commit()
    with mcp_server(port, live_server.url, "toy", SECRET, ["openid"]):
        yield url


def test_unregistered_agent_gets_tokens_by_its_metadata_document(
    mcp, agent_site, landing, live_server, app_beside, page: Any, smtp
):
    ada = People(app_beside).open(email="ada@example.com", methods=["email"])
    document = agent_site.publish(
        host="localhost", client_name="A new agent", redirect_uris=[f"{landing.url}/callback"]
    )
    agent = Agent(mcp, f"{landing.url}/callback", Storage(), document)
    address = agent.visit.get(timeout=20)
    page.goto(address)
    page.get_by_label("Email, phone or username").fill(ada.email)  # the page continued automatically
    assert agent_site.asked == ["/client.json"]
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_label("Your code").wait_for()
    page.get_by_label("Your code").fill(code_in(smtp.wait(1)[-1]))
    page.get_by_role("heading", name="Allow A new agent?").wait_for()
    shown = page.locator("main").inner_text()
    assert "localhost" in shown
    assert "Toy server" in shown
    page.get_by_role("button", name="Allow", exact=True).click()
    page.wait_for_url("**/callback?**")
    agent.back.put(page.url)
    agent.join(20)
    (first, token), (second, newer) = agent.said
    assert first == second == handle_of(app_beside, ada.id)
    assert newer != token
    assert agent.storage.registered.client_id == document


def handle_of(app: Flask, user_id: int) -> str:
    """Return someone's ``sub``."""
    from app.extensions import db
    from app.users import User

    with app.app_context():
        return str(db.session.get(User, user_id).handle)
