"""What the sign-in page shows: the identity box, or the code entry with what was sent."""

from __future__ import annotations

from typing import Any

from app.methods import carrying
from app.methods.showing import methods_offered, sent
from app.signin.flow import PURPOSE
from app.signin.forms import ContinueForm, SignInForm
from app.web.asker import present_asker
from app.web.respond import wants_json

PAGE = "signin/signin.html"


def page(step: str, told: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what the page shows at ``step``: ``identity`` or ``code``."""
    return methods_offered() | {"step": step, "sent": told, "methods": methods_offered()["available_methods"]}


def page_again(form: SignInForm | ContinueForm) -> dict[str, Any]:
    """Return what the page of a refused sign-in shows: the code entry, if this browser was sent a code."""
    if wants_json():
        return {}
    looked_up = form.refusal_facts.get("here")
    asked = looked_up or carrying.last_open(present_asker(), PURPOSE)
    if asked is None or not form.identity.data or form.identity.errors:
        return page("identity")
    return page("code", sent(asked.challenge, form.identity.data, asked.characters))
