"""BaseForm: every form, filled from a form body or a JSON body alike.

Forms check shape only; what a flow refuses is shown on them afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import structlog
from flask import g, request
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, Field, Form, StringField
from wtforms.csrf.core import CSRF
from wtforms.validators import StopValidation
from wtforms.widgets import HiddenInput

from app.errors import Rejected
from app.web.csrf import FIELD, SAFE_METHODS, csrf_fault
from app.web.json_body import json_members, sends_json
from app.web.messages import Message, message
from app.web.redirects import safe_next

log = structlog.get_logger()


class BrowserCSRF(CSRF):  # type: ignore[misc]
    """Checks the token from header, field or JSON member, whichever is there."""

    def generate_csrf_token(self, csrf_token_field: Field) -> str:
        """Return nothing: pages carry what ``csrf_field`` makes, and most requests show no page."""
        return ""

    def validate_csrf_token(self, form: Form, field: Field) -> None:
        """Raise ValidationError with the sentence of what is wrong."""
        given = field.data if isinstance(field.data, str) else None
        g.csrf_fault = csrf_fault(given)
        g.csrf_checked = True
        if g.csrf_fault:
            log.warning("csrf.rejected", reason=g.csrf_fault, route=str(request.url_rule))
            raise StopValidation(message(g.csrf_fault))


class Required:
    """The field must have something in it besides blanks."""

    field_flags = {"required": True}

    def __init__(self, code: str = "required") -> None:
        self.code = code

    def __call__(self, form: Form, field: Field) -> None:
        """Raise StopValidation with the sentence of ``code`` when the field is empty."""
        if field.data is None or field.data == [] or (isinstance(field.data, str) and not field.data.strip()):
            raise StopValidation(message(self.code))


class SafeNext:
    """The field, if given, must be a place on this site."""

    def __call__(self, form: Form, field: Field) -> None:
        """Raise StopValidation on a target that leaves this site."""
        if field.data and safe_next(field.data) is None:
            raise StopValidation(message("invalid_redirect"))


class TypedField(Field):  # type: ignore[misc]
    """A field that refuses values of the wrong JSON type instead of turning them into text."""

    accepts: tuple[type, ...] = (str,)
    data: Any

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        """Take the first value. Raises ValueError with our sentence on a wrong type or a NUL."""
        if not valuelist:
            return
        value = valuelist[0]
        if type(value) not in self.accepts or (isinstance(value, str) and "\x00" in value):
            self.data = None
            raise ValueError(message("api_error"))
        self.data = value

    def validate(self, form: Form, extra_validators: Sequence[Any] = ()) -> bool:
        """Report a wrong type alone, without what follows from it."""
        if self.process_errors:
            self.errors = list(self.process_errors)
            return False
        return bool(super().validate(form, extra_validators))


class TextField(TypedField, StringField):  # type: ignore[misc]
    """A line of text."""


class PasscodeField(TypedField, StringField):  # type: ignore[misc]
    """A short answer a person types: text, or a whole number from a program."""

    accepts = (str, int)


class NumberField(TypedField, StringField):  # type: ignore[misc]
    """A whole number: as text from a form, either way from a program."""

    accepts = (str, int)


class CredentialField(TypedField):
    """What a browser says of a passkey: JSON text, or from a program the object itself."""

    accepts = (str, dict)
    widget = HiddenInput()

    def _value(self) -> str:
        """Return nothing: what was sent is good once, and no page shows it again."""
        return ""


class ManyField(TypedField):
    """A list of texts, or one text; each of them once, and at most ``MOST``: no field has more names than that."""

    MOST = 32

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        """Take all values. Raises ValueError with our sentence when one is no text, or they are too many."""
        self.data = []
        if not all(type(value) is str and "\x00" not in value for value in valuelist):
            raise ValueError(message("api_error"))
        once = list(dict.fromkeys(valuelist))
        if len(once) > self.MOST:
            raise ValueError(message("api_error"))
        self.data = once


class CheckboxField(BooleanField):  # type: ignore[misc]
    """Yes or no; ``false`` and nothing are no, in JSON and in forms."""

    false_values = (False, "false", "")


class BaseForm(FlaskForm):  # type: ignore[misc]
    """The base of every form: CSRF, both languages, and refusals shown where they belong."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        """WTForms' settings for all our forms."""

        csrf = True
        csrf_class = BrowserCSRF
        csrf_field_name = FIELD

        def wrap_formdata(self, form: Form, formdata: Any) -> Any:
            """Return the body's fields, from a form or from JSON; nothing on a safe method."""
            return _renamed(submitted(), cast("BaseForm", form).renames())

    other_names: Mapping[str, str] = {}
    """Other names under which clients send some fields, and the fields' own; the own name beats another one."""

    speaks_other_names = False
    """Whether a field that was sent under neither is told of by the other one."""

    refusal_status = 400
    refusal_facts: Mapping[str, Any] = {}

    def refuse(self, refused: Rejected) -> None:
        """Show ``refused`` on its field, or on the form as a whole."""
        text = message(refused.code, **refused.facts)
        self.refusal_status, self.refusal_facts = refused.status, refused.facts
        if refused.field in self._fields:
            field = self._fields[refused.field]
            field.errors = [*field.errors, text]
        else:
            self.form_errors.append(text)

    @contextmanager
    def showing_refusals(self) -> Iterator[None]:
        """Show a refusal raised in this block on the form, and go on after the block."""
        try:
            yield
        except Rejected as refused:
            self.refuse(refused)

    def faults(self) -> list[tuple[str, Message | str]]:
        """Return (field, sentence) for each thing that is wrong, in the form's order; "" is the form as a whole.

        A field has the name by which the client sent it; who used another name knows the rest by other names, too.
        """
        said = {own: other for other, own in self.renames().items()}
        for other, own in self.other_names.items() if said or self.speaks_other_names else ():
            if own not in (submitted() or ()):
                said.setdefault(own, other)
        found = [(said.get(name, name), text) for name, field in self._fields.items() for text in field.errors]
        return found + [("", text) for text in self.form_errors]

    def renames(self) -> dict[str, str]:
        """Return which of the other names this request uses, and for which field each stands."""
        given = submitted() if self.other_names else None
        if not given:
            return {}
        used: dict[str, str] = {}
        for other, own in self.other_names.items():
            if other in given and own not in given and own not in used.values():
                used[other] = own
        return used


class ButtonForm(BaseForm):
    """A button, and nothing to fill in."""


def _renamed(given: MultiDict[str, Any] | None, names: Mapping[str, str]) -> MultiDict[str, Any] | None:
    """Return ``given`` with each name in ``names`` changed to what it stands for."""
    if given is None or not names:
        return given
    changed: MultiDict[str, Any] = MultiDict(given)
    for other, own in names.items():
        changed.setlist(own, changed.poplist(other))
    return changed


def submitted() -> MultiDict[str, Any] | None:
    """Return what the request submits, or None where nothing can be submitted."""
    if request.method in SAFE_METHODS:
        return None
    return json_members() if sends_json() else request.form
