"""A virtual authenticator in Chromium (WebDriver BiDi has none; the DevTools protocol does)."""

from __future__ import annotations

from typing import Any


class VirtualAuthenticator:
    """A device that creates and uses passkeys automatically, in one page's browser.

    :param verified: whether user verification succeeds
    :param resident: whether it stores discoverable passkeys
    """

    def __init__(self, page: Any, *, verified: bool = True, resident: bool = True, transport: str = "internal") -> None:
        self.devtools = page.context.new_cdp_session(page)
        self.devtools.send("WebAuthn.enable", {"enableUI": False})
        options = {
            "protocol": "ctap2",
            "transport": transport,
            "hasResidentKey": resident,
            "hasUserVerification": True,
            "isUserVerified": verified,
            "automaticPresenceSimulation": True,
        }
        self.id = self._send("addVirtualAuthenticator", options=options)["authenticatorId"]

    @property
    def credentials(self) -> list[dict[str, Any]]:
        """The passkeys it stores."""
        found: list[dict[str, Any]] = self._send("getCredentials", authenticatorId=self.id)["credentials"]
        return found

    def give(self, credential: dict[str, Any]) -> None:
        """Store another device's passkey."""
        self._send("addCredential", authenticatorId=self.id, credential=credential)

    def present(self, is_there: bool) -> None:
        """Set whether the user touches it when asked."""
        self._send("setAutomaticPresenceSimulation", authenticatorId=self.id, enabled=is_there)

    def verify(self, verified: bool) -> None:
        """Set whether user verification succeeds."""
        self._send("setUserVerified", authenticatorId=self.id, isUserVerified=verified)

    def remove(self) -> None:
        """Remove the device."""
        self._send("removeVirtualAuthenticator", authenticatorId=self.id)

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.devtools.send(f"WebAuthn.{method}", parameters)
        return answer
