"""An app's request to sign a user out (OpenID Connect RP-Initiated Logout 1.0, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from werkzeug.datastructures import MultiDict

from app.crypto.secrets import same
from app.extensions import settings
from app.oidc import keys
from app.oidc.authorization import PageError
from app.oidc.clients import Client, find_client
from app.oidc.errors import OAuthError
from app.oidc.parameters import LOGOUT_PARAMETERS, single_values, words
from app.oidc.subjects import sid_for, subject_for

MAX_LOCALES = 8


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A valid logout request.

    :ivar client: the client that sends it; None if it didn't say
    :ivar redirect_uri: one that the client has registered, or ""
    :ivar sub: subject of the ID token sent as a hint; "" without one
    :ivar sid: session of that ID token
    :ivar ui_locales: languages that the page should be in
    """

    client: Client | None = None
    redirect_uri: str = ""
    state: str | None = None
    sub: str = ""
    sid: str = ""
    ui_locales: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where the browser goes afterwards: the exact redirect URI, with the state; "" to stay here."""
        if not self.redirect_uri or self.state is None:
            return self.redirect_uri
        joint = "&" if urlsplit(self.redirect_uri).query else "" if self.redirect_uri.endswith("?") else "?"
        return f"{self.redirect_uri}{joint}{urlencode({'state': self.state})}"

    def is_about(self, session_id: str, handle: str) -> bool:
        """Return whether its hint is for this session or this user, so that no confirmation is needed (section 2)."""
        if self.client is None or not self.sub:
            return False
        return same(self.sid, sid_for(session_id, self.client.id)) or same(self.sub, subject_for(handle, self.client))


def read_logout(parameters: MultiDict[str, str]) -> LogoutRequest:
    """Validate a logout request. Errors are shown to the user, since no redirect URI is verified yet.

    :raises PageError: for a parameter that is repeated or too long, a hint that we did not issue or that belongs to
        another client, an unknown client, or a redirect URI that is not registered
    """
    try:
        fields = single_values(parameters, LOGOUT_PARAMETERS)
    except OAuthError:
        raise PageError("oauth_logout_invalid") from None
    hint = _hint_of(fields)
    client = _client_of(fields, hint)
    redirect_uri = fields.get("post_logout_redirect_uri", "")
    if redirect_uri and (client is None or redirect_uri not in client.post_logout_redirect_uris):
        raise PageError("oauth_redirect_unknown")
    return LogoutRequest(
        client,
        redirect_uri,
        fields.get("state"),
        str(hint.get("sub", "")),
        str(hint.get("sid", "")),
        tuple(words(fields, "ui_locales")[:MAX_LOCALES]),
    )


def _hint_of(fields: dict[str, str]) -> dict[str, Any]:
    """Return the claims of the ID token sent as a hint, even if it expired long ago (section 4)."""
    if "id_token_hint" not in fields:
        return {}
    claims = keys.verify(fields["id_token_hint"], typ="JWT")
    if claims is None or claims.get("iss") != settings.public_url:
        raise PageError("oauth_logout_invalid")
    return claims


def _client_of(fields: dict[str, str], hint: dict[str, Any]) -> Client | None:
    """Return the requesting client: the named one, which the hint must be for, or else the hint's."""
    named, audience = fields.get("client_id", ""), hint.get("aud", [])
    audiences = [audience] if isinstance(audience, str) else list(audience)
    if hint and named and named not in audiences:
        raise PageError("oauth_logout_invalid")
    client_id = named or (audiences[0] if audiences else "")
    if not client_id:
        return None
    client = find_client(client_id)
    if client is None:
        raise PageError("oauth_client_unknown")
    return client
