"""A virtual authenticator in Chromium (WebDriver BiDi has none; the DevTools protocol does)."""

from __future__ import annotations

from typing import Any


class VirtualAuthenticator:
    """A device that makes and uses passkeys by itself, in one page's browser.

    :param verified: whether its holder shows a PIN, a finger or a face when asked
    :param resident: whether it keeps passkeys that are found without a name
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
        """The passkeys it keeps."""
        found: list[dict[str, Any]] = self._send("getCredentials", authenticatorId=self.id)["credentials"]
        return found

    def give(self, credential: dict[str, Any]) -> None:
        """Let it keep another device's passkey."""
        self._send("addCredential", authenticatorId=self.id, credential=credential)

    def present(self, is_there: bool) -> None:
        """Let somebody touch it when asked, or nobody."""
        self._send("setAutomaticPresenceSimulation", authenticatorId=self.id, enabled=is_there)

    def verify(self, verified: bool) -> None:
        """Let its holder show who they are when asked, or not."""
        self._send("setUserVerified", authenticatorId=self.id, isUserVerified=verified)

    def remove(self) -> None:
        """Take the device away."""
        self._send("removeVirtualAuthenticator", authenticatorId=self.id)

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.devtools.send(f"WebAuthn.{method}", parameters)
        return answer
