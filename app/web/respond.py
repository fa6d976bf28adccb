"""respond(): the one place that knows whether a browser or an API client asks, and what each is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import orjson
from flask import Response, current_app, flash, g, redirect, request

from app.web.csrf import SAFE_METHODS, csrf_token
from app.web.json_body import sends_json
from app.web.messages import Message, code_of, message
from app.web.pages import render_page

if TYPE_CHECKING:
    from app.web.forms import BaseForm

SET_UP = "set_up"
"""The category of what says that something was set up: its page then recommends what to do next."""

Wanted = Literal["", "access", "refresh"]
"""Tokens that a program asks for with its sign-in: none, an access token, or a refresh token too."""


def wants_json() -> bool:
    """Say whether this client speaks JSON: it sent some, or likes it best."""
    if sends_json():
        return True
    accept = request.headers.get("Accept", "").lower()
    if "application/json" not in accept:
        return False
    best = accept if accept == "application/json" else request.accept_mimetypes.best or ""
    return best.partition(";")[0].strip().lower() == "application/json"


def respond(
    page: str | None = None,
    form: BaseForm | None = None,
    *,
    go: str | None = None,
    see: str | None = None,
    shown: dict[str, Any] | None = None,
    bare: bool = False,
    **facts: Any,
) -> Response:
    """Answer the request in the client's own language.

    :param page: template for a browser
    :param form: shown on the page; when it has faults the answer is a refusal
    :param go: where a browser is sent on success (302); a program is never redirected
    :param see: where a browser sees what its form has begun (303), so that the page can be opened again
    :param shown: what the page shows and a program does not get
    :param bare: leave ``csrf_token`` out of the JSON
    :param facts: what a program gets; the page has it too
    :raises RuntimeError: on success of an unsafe request that no form has checked
    """
    if form is not None and (faults := form.faults()):
        return _refuse(page, form, faults, (shown or {}) | facts)
    if request.method not in SAFE_METHODS and not g.get("csrf_checked"):
        raise RuntimeError("an unsafe request was answered without a form having checked it")
    if wants_json():
        return envelope(200, facts if bare else facts | {"csrf_token": csrf_token()})
    if go is not None or see is not None:
        return redirect(go or see or "/", 302 if go else 303)  # type: ignore[return-value]
    context = {"support_id": ""} if request.method in SAFE_METHODS else {"support_id": support_id()}
    return current_app.make_response(render_page(page or "", form=form, **(context | (shown or {}) | facts)))


def support_id() -> str:
    """Return by which short mark this request can be found again: shown to a person, kept in its events and log."""
    return str(g.get("support_id", ""))


def envelope(status: int, response: dict[str, Any]) -> Response:
    """Return the JSON envelope around ``response``; its keys are sorted by name."""
    body = orjson.dumps({"meta": {"code": status}, "response": response}, option=orjson.OPT_SORT_KEYS)
    return Response(body, status, mimetype="application/json")


def error_envelope(status: int, faults: list[tuple[str, Message | str]], *, fields: bool, **more: Any) -> Response:
    """Return the JSON of a refusal.

    :param faults: (field, sentence) pairs
    :param fields: whether to say which field each belongs to; without a form there is none
    """
    answer: dict[str, Any] = {
        "errors": [str(text) for _, text in faults],
        "error_codes": [code_of(text) for _, text in faults],
        "support_id": support_id(),
    }
    if fields:
        by_field: dict[str, list[str]] = {}
        for name, text in faults:
            by_field.setdefault(name, []).append(str(text))
        answer["field_errors"] = by_field
    return envelope(status, answer | more)


def _refuse(
    page: str | None, form: BaseForm, faults: list[tuple[str, Message | str]], shown: dict[str, Any]
) -> Response:
    status = form.refusal_status
    if wants_json():
        fresh = {"csrf_token": csrf_token()} if g.get("csrf_fault") else {}
        answer = error_envelope(status, faults, fields=True, **fresh)
    else:
        answer = current_app.make_response(
            (render_page(page or "", form=form, support_id=support_id(), has_errors=True, **shown), status)
        )
    if "retry_after" in form.refusal_facts:
        answer.headers["Retry-After"] = str(form.refusal_facts["retry_after"])
    return answer


def say(code: str, category: str = "success", **facts: Any) -> None:
    """Tell a browser something on its next page; a program has its answer already."""
    if not wants_json():
        flash(message(code, **facts), category)


def wants_token() -> Wanted:
    """Return which tokens a program asks for (``?include_auth_token``, and ``&include_refresh_token``)."""
    if "include_auth_token" not in request.args:
        return ""
    return "refresh" if "include_refresh_token" in request.args and wants_json() else "access"
