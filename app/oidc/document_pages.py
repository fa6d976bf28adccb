"""Pages a user sees while the metadata document of an app is being read, and if it is invalid.

Nothing is redirected: no redirect URI is verified until the document has been read.
"""

from __future__ import annotations

from typing import Any

from flask import Response
from werkzeug.datastructures import MultiDict

from app import clock, throttling
from app.errors import Rejected
from app.oidc import client_documents, requests
from app.oidc.authorization import PageError, read_authorization
from app.oidc.client_documents import RETRY_AFTER, FetchStatus
from app.oidc.client_uris import host_of_id
from app.oidc.models import AuthorizationRequest
from app.web.client import present_client
from app.web.errors import error_answer
from app.web.messages import message
from app.web.redirects import with_query
from app.web.respond import respond

RELOAD_SECONDS = 1
"""Seconds after which the page checks again."""


def page_until_read(parameters: MultiDict[str, str], row: AuthorizationRequest | None, path: str) -> Response | None:
    """Return the page for a request whose client's document hasn't been read; None if there is nothing to wait for.

    :param row: the stored request; a new request is stored, so that the page can come back to it
    :param path: where a stored request continues
    :raises AuthorizationError: ``temporarily_unavailable`` if no page may be shown and the client was known before
    """
    ids = parameters.getlist("client_id")
    if len(ids) != 1 or not client_documents.is_document(ids[0]):
        return None
    address = present_client().ip_address
    since = clock.now() if row is None else row.created_at
    is_silent = "none" in parameters.get("prompt", "").split()
    try:
        reading = client_documents.fetch_status(ids[0], since, address)
    except Rejected:
        if not is_silent:
            raise
        return _no_page(parameters)
    if reading.state == "ready":
        return None
    if is_silent:
        return _no_page(parameters)
    if row is None:
        throttling.take("requests", address)
        row = requests.store(parameters)
    return _page(reading, host_of_id(ids[0]), with_query(path, request=row.id))


def _no_page(parameters: MultiDict[str, str]) -> Response:
    """Answer a request for which no page may be shown, by redirect if an earlier document has the redirect URI."""
    try:
        authorization = read_authorization(parameters)
    except PageError:
        return error_answer(503, message("oauth_client_checking"), retry_after=RETRY_AFTER)
    raise authorization.error("temporarily_unavailable", "The metadata document of the client is being read.")


def _page(reading: FetchStatus, host: str, back: str) -> Response:
    shown: dict[str, Any] = {"host": host, "back": back, "again": RELOAD_SECONDS, "reading": reading}
    answer = respond("oidc/checking.html", context=shown, state=reading.state, fault=reading.fault or None)
    answer.status_code = {"failed": 400, "full": 429}.get(reading.state, 200)
    if reading.state == "full":
        answer.headers["Retry-After"] = "60"
    return answer
