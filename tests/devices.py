"""A device without a browser, and a person who enters its code (RFC 8628), simulated by tests."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.oidc import RelyingParty, register
from tests.wire import Answer, Wire

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Device:
    """A client that has requested a device code.

    :ivar told: the response
    """

    def __init__(self, rp: RelyingParty, headers: dict[str, str] | None = None, **asked: Any) -> None:
        self.rp = rp
        response = rp.post("/oauth/device", headers=headers, **({"scope": "openid email"} | asked))
        assert response.status_code == 200, response.text
        self.told: dict[str, Any] = response.json

    @property
    def user_code(self) -> str:
        """The user code that it shows."""
        return str(self.told["user_code"])

    def poll(self, headers: dict[str, str] | None = None, **different: Any) -> TestResponse:
        """Request tokens once."""
        fields = {"grant_type": GRANT, "device_code": self.told["device_code"]} | different
        return self.rp.post("/oauth/token", headers=headers, **fields)

    def error(self, **different: Any) -> str:
        """Return the error of a poll."""
        response = self.poll(**different)
        assert response.status_code == 400, response.text
        return str(response.json["error"])

    def tokens(self, **different: Any) -> dict[str, Any]:
        """Return its tokens."""
        response = self.poll(**different)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json
        return found


def tv(app: Flask, client_id: str = "tv", *, public: bool = True, **fields: Any) -> RelyingParty:
    """Register a device app."""
    usual: dict[str, Any] = {"name": "Living room TV", "grant_types": [GRANT, "refresh_token"]}
    return register(app, client_id, public=public, **(usual | fields))


def decide(wire: Wire, device: Device, allow: str = "yes") -> Answer:
    """Enter the code, and press a button on the page that follows."""
    shown = wire.post("/device", user_code=device.user_code)
    assert shown.status == 200, shown.text
    return wire.post("/device/consent", user_code=device.user_code, allow=allow)
