"""PyPI mcp: an agent finds the provider in a server's metadata, and gets a token only for that server."""

from __future__ import annotations

import queue
import threading
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx2
import pytest
import requests
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.clients.mcp_server import PATH, mcp_server
from tests.serving import free_port

pytestmark = pytest.mark.one_database


class Storage:
    """The agent's storage between runs."""

    def __init__(self, registered: OAuthClientInformationFull | None = None) -> None:
        self.registered = registered
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.registered

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.registered = client_info


class Agent(threading.Thread):
    """Calls ``whoami`` in a thread of its own; its person takes the browser to ``visit``, and ``back`` is where from.

    :param document: address of its metadata document, if it has one
    :ivar said: what the server has said, or the fault that ended it
    """

    def __init__(self, url: str, redirect_uri: str, storage: Storage, document: str = "") -> None:
        super().__init__(daemon=True)
        self.url, self.storage, self.document = url, storage, document
        self.visit: queue.Queue[str] = queue.Queue()
        self.back: queue.Queue[str] = queue.Queue()
        self.said: list[Any] = []
        self.metadata = OAuthClientMetadata(redirect_uris=[redirect_uri], client_name="An agent")
        self.start()

    def run(self) -> None:
        try:
            anyio.run(self._call)
        except BaseException as fault:
            self.said.append(fault)

    async def _call(self) -> None:
        handlers = (self._lead, self._come_back)
        provider = OAuthClientProvider(self.url, self.metadata, self.storage, *handlers, self.document or None)
        http = httpx2.AsyncClient(auth=provider)
        async with http, Client(streamable_http_client(self.url, http_client=http)) as client:
            await self._whoami(client)
            provider.context.token_expiry_time = 1.0  # 1970
            await self._whoami(client)

    async def _whoami(self, client: Client) -> None:
        assert self.storage.tokens is not None
        answer = await client.call_tool("whoami", {})
        self.said.append((answer.content[0].text, self.storage.tokens.access_token))

    async def _lead(self, url: str) -> None:
        self.visit.put(url)

    async def _come_back(self) -> AuthorizationCodeResult:
        url = await anyio.to_thread.run_sync(self.back.get)
        return AuthorizationCodeResult(**dict(parse_qsl(urlsplit(url).query)))


@pytest.fixture
def server(issuer, register):
    """The URL of the MCP server, which introspects tokens with its own registration."""
    port = free_port()
    url = f"http://127.0.0.1:{port}{PATH}"
    party = register(name="Toy server", grant_types=[], serves=[url], serves_all=True)
    with mcp_server(port, issuer, party.id, party.secret, ["openid"]):
        yield url


@pytest.fixture
def let_in(page, enter_code, allow):
    """Signs Ada in to an agent, and consents."""

    def let_in(agent):
        page.goto(agent.visit.get(timeout=20))
        enter_code()
        allow()
        page.wait_for_url("**/callback?**")
        agent.back.put(page.url)
        agent.join(20)

    return let_in


@pytest.fixture
def known(server, register, landing):
    """The agent's registration, for this server's URL."""
    uris = [f"{landing.url}/callback"]
    party = register(name="An agent", redirect_uris=uris, public=True, resources=[server], consent="ask")
    return OAuthClientInformationFull(client_id=party.id, redirect_uris=uris, token_endpoint_auth_method="none")


def test_registered_agent_gets_tokens_for_its_mcp_server_only(server, known, landing, let_in, register, issuer, handle):
    agent = Agent(server, f"{landing.url}/callback", Storage(known))
    let_in(agent)
    (first, token), (second, newer) = agent.said
    assert first == second == handle
    assert newer != token
    other = register(name="Another server", grant_types=[], serves=["https://other.example.com/mcp"])
    answer = requests.post(f"{issuer}/oauth/introspect", {"token": newer}, auth=(other.id, other.secret), timeout=10)
    assert answer.json() == {"active": False}
