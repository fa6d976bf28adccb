"""An MCP server (PyPI mcp) that accepts our tokens for it, and a way to run it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

PATH = "/mcp"


class Introspection(TokenVerifier):
    """Introspects each token with the server's own registration (RFC 7662)."""

    def __init__(self, issuer: str, client_id: str, secret: str) -> None:
        self._endpoint, self._auth = f"{issuer}/oauth/introspect", (client_id, secret)

    async def verify_token(self, token: str) -> AccessToken | None:
        async with httpx2.AsyncClient() as http:
            answer = await http.post(self._endpoint, data={"token": token}, auth=self._auth)
        found = answer.raise_for_status().json()
        if not found["active"]:
            return None
        (resource,) = found["aud"]
        return AccessToken(
            token=token, client_id=found["client_id"], scopes=found["scope"].split(), expires_at=found["exp"],
            resource=resource, subject=found["sub"], claims={"iss": found["iss"]},
        )  # fmt: skip


@contextmanager
def mcp_server(port: int, issuer: str, client_id: str, secret: str, scopes: list[str]) -> Iterator[None]:
    """Serve one tool, ``whoami``, until the block is left. Its protected resource metadata names us (RFC 9728)."""
    auth = AuthSettings(
        issuer_url=issuer,
        resource_server_url=f"http://127.0.0.1:{port}{PATH}",
        required_scopes=scopes,
        validate_token_resource=True,
    )
    server = MCPServer("toy", token_verifier=Introspection(issuer, client_id, secret), auth=auth)

    @server.tool()
    def whoami() -> str:
        """Return whose token it is."""
        token = get_access_token()
        return str(token.subject) if token else ""

    app = server.streamable_http_app(streamable_http_path=PATH, host="127.0.0.1")
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not running.started:
        assert time.monotonic() < deadline, "the MCP server does not start"
        time.sleep(0.02)
    try:
        yield
    finally:
        running.should_exit = True
        thread.join(10)
