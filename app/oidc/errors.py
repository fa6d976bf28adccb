"""OAuthError: what an endpoint answers a client that it refuses (RFC 6749, section 5.2)."""

from __future__ import annotations

import orjson
from flask import Response


class OAuthError(Exception):
    """An expected no. What was recorded before it is kept.

    :ivar code: from the registry of OAuth errors: ``invalid_grant``
    :ivar description: a sentence for the developer of the client, in English, without a value that was sent
    :ivar status: HTTP status of the answer
    :ivar challenge: value of WWW-Authenticate, for a refusal of the client or its token
    """

    def __init__(
        self, code: str, description: str, *, status: int = 400, challenge: str = "", retry_after: int = 0
    ) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.status = status
        self.challenge = challenge
        self.retry_after = retry_after


def error_response(error: OAuthError) -> Response:
    """Return the JSON of a refusal (an error handler)."""
    answer = json_response({"error": error.code, "error_description": error.description}, error.status)
    if error.challenge:
        answer.headers["WWW-Authenticate"] = error.challenge
    if error.retry_after:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def json_response(facts: dict[str, object], status: int = 200) -> Response:
    """Return these members as JSON that nobody keeps (RFC 6749, section 5.1)."""
    answer = Response(orjson.dumps(facts), status, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer
