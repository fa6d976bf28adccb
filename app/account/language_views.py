"""/language: choose the language of pages and messages, signed in or not."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from flask import Response, after_this_request
from flask_login import current_user

from app.account import bp
from app.errors import Rejected
from app.extensions import changed, settings
from app.i18n import COOKIE, N_
from app.users import User
from app.web.commit import view_commit
from app.web.cookies import set_cookie
from app.web.forms import BaseForm, SafeNext, TextField
from app.web.redirects import safe_next
from app.web.respond import respond

KEPT_FOR = timedelta(days=365)


class LanguageForm(BaseForm):
    """A language, and the page to come back to: ``next`` for a program, ``page`` where a page has it already."""

    language = TextField(N_("Language"))
    next = TextField("", [SafeNext()])
    page = TextField()


@bp.post("/language")
def choose_language() -> Response:
    """Set the language of this browser, and of the account that is signed in here."""
    after_this_request(view_commit)
    form = LanguageForm()
    if form.validate():
        with form.showing_refusals():
            tag = str(form.language.data or "")
            if tag not in settings.languages:
                raise Rejected("invalid_choice", field="language")
            if current_user.is_authenticated and current_user.language != tag:
                changed(sa.update(User).where(User.id == current_user.id).values(language=tag))
            answer = respond(see=safe_next(form.page.data) or safe_next(form.next.data) or "/", language=tag)
            set_cookie(answer, COOKIE, tag, int(KEPT_FOR.total_seconds()))
            return answer
    return respond("errors/form.html", form)
