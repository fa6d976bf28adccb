"""BaseForm, the base class of all forms; accepts both form and JSON bodies.

Forms validate syntax only. Errors found later, in the service layer, are added to the form.
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
    """Checks the CSRF token from the header, form field or JSON member, whichever is present."""

    def generate_csrf_token(self, csrf_token_field: Field) -> str:
        """Return "": pages use ``csrf_field`` instead, and most requests don't render a page."""
        return ""

    def validate_csrf_token(self, form: Form, field: Field) -> None:
        """Raise StopValidation with an error message if the token is missing or invalid."""
        given = field.data if isinstance(field.data, str) else None
        g.csrf_fault = csrf_fault(given)
        g.csrf_checked = True
        if g.csrf_fault:
            log.warning("csrf.rejected", reason=g.csrf_fault, route=str(request.url_rule))
            raise StopValidation(message(g.csrf_fault))


class Required:
    """The field must not be empty or blank."""

    field_flags = {"required": True}

    def __init__(self, code: str = "required") -> None:
        self.code = code

    def __call__(self, form: Form, field: Field) -> None:
        """Raise StopValidation with the message for ``code`` if the field is empty."""
        if field.data is None or field.data == [] or (isinstance(field.data, str) and not field.data.strip()):
            raise StopValidation(message(self.code))


class SafeNext:
    """The field, if given, must be a safe redirect target."""

    def __call__(self, form: Form, field: Field) -> None:
        """Raise StopValidation for a target outside this site and its front ends."""
        if field.data and safe_next(field.data) is None:
            raise StopValidation(message("invalid_redirect"))


class TypedField(Field):  # type: ignore[misc]
    """A field that rejects values of the wrong JSON type instead of converting them to text."""

    accepts: tuple[type, ...] = (str,)
    data: Any

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        """Take the first value. Raise ValueError with an error message for a wrong type or a NUL character."""
        if not valuelist:
            return
        value = valuelist[0]
        if type(value) not in self.accepts or (isinstance(value, str) and "\x00" in value):
            self.data = None
            raise ValueError(message("api_error"))
        self.data = value

    def validate(self, form: Form, extra_validators: Sequence[Any] = ()) -> bool:
        """Report only the wrong type, not the errors that follow from it."""
        if self.process_errors:
            self.errors = list(self.process_errors)
            return False
        return bool(super().validate(form, extra_validators))


class TextField(TypedField, StringField):  # type: ignore[misc]
    """A single line of text."""


class PasscodeField(TypedField, StringField):  # type: ignore[misc]
    """A short code that a person types: text, or from an API client also an integer."""

    accepts = (str, int)


class NumberField(TypedField, StringField):  # type: ignore[misc]
    """An integer: as text from a form, as text or number from an API client."""

    accepts = (str, int)


class CredentialField(TypedField):
    """A WebAuthn response: as JSON text, or from an API client also as an object."""

    accepts = (str, dict)
    widget = HiddenInput()

    def _value(self) -> str:
        """Return "": a response can be used only once, so pages never show it again."""
        return ""


class ManyField(TypedField):
    """A list of strings, without duplicates and with at most ``MAX_ENTRIES`` entries, more than any field needs."""

    MAX_ENTRIES = 32

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        """Take all values. Raise ValueError with an error message if one isn't a string, or there are too many."""
        self.data = []
        if not all(type(value) is str and "\x00" not in value for value in valuelist):
            raise ValueError(message("api_error"))
        once = list(dict.fromkeys(valuelist))
        if len(once) > self.MAX_ENTRIES:
            raise ValueError(message("api_error"))
        self.data = once


class CheckboxField(BooleanField):  # type: ignore[misc]
    """A boolean; ``false`` and an empty value are False, in JSON and in forms."""

    false_values = (False, "false", "")


class BaseForm(FlaskForm):  # type: ignore[misc]
    """The base of every form: CSRF protection, form and JSON bodies, and rejections shown on their fields."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        """WTForms settings for all forms."""

        csrf = True
        csrf_class = BrowserCSRF
        csrf_field_name = FIELD

        def wrap_formdata(self, form: Form, formdata: Any) -> Any:
            """Return the submitted fields of a form or JSON body; None for safe methods."""
            return _resolved(submitted(), cast("BaseForm", form).used_aliases())

    aliases: Mapping[str, str] = {}
    """Aliases that clients may send, mapped to field names. If both are sent, the field name takes precedence."""

    report_by_alias = False
    """Whether errors of a field that wasn't sent under either name are reported under its alias."""

    error_status = 400
    error_facts: Mapping[str, Any] = {}

    def add_error(self, rejected: Rejected) -> None:
        """Add the error to its field, or to the form as a whole."""
        text = message(rejected.code, **rejected.facts)
        self.error_status, self.error_facts = rejected.status, rejected.facts
        if rejected.field in self._fields:
            field = self._fields[rejected.field]
            field.errors = [*field.errors, text]
        else:
            self.form_errors.append(text)

    @contextmanager
    def collecting_errors(self) -> Iterator[None]:
        """Add a ``Rejected`` raised in this block to the form, and continue after the block."""
        try:
            yield
        except Rejected as rejected:
            self.add_error(rejected)

    def faults(self) -> list[tuple[str, Message | str]]:
        """Return (field, message) for each error, in the order of the form's fields; "" is the form as a whole.

        A field is reported under the name that the client sent. If the client used any alias, fields it didn't send are
        reported under their aliases, too.
        """
        alias_of = {name: alias for alias, name in self.used_aliases().items()}
        for alias, name in self.aliases.items() if alias_of or self.report_by_alias else ():
            if name not in (submitted() or ()):
                alias_of.setdefault(name, alias)
        found = [(alias_of.get(name, name), text) for name, field in self._fields.items() for text in field.errors]
        return found + [("", text) for text in self.form_errors]

    def used_aliases(self) -> dict[str, str]:
        """Return the aliases used in this request, mapped to field names."""
        given = submitted() if self.aliases else None
        if not given:
            return {}
        used: dict[str, str] = {}
        for alias, name in self.aliases.items():
            if alias in given and name not in given and name not in used.values():
                used[alias] = name
        return used


class ButtonForm(BaseForm):
    """A form with just a button."""


def _resolved(given: MultiDict[str, Any] | None, aliases: Mapping[str, str]) -> MultiDict[str, Any] | None:
    """Return ``given`` with aliases replaced by field names."""
    if given is None or not aliases:
        return given
    changed: MultiDict[str, Any] = MultiDict(given)
    for alias, name in aliases.items():
        changed.setlist(name, changed.poplist(alias))
    return changed


def submitted() -> MultiDict[str, Any] | None:
    """Return the submitted fields, or None for safe methods."""
    if request.method in SAFE_METHODS:
        return None
    return json_members() if sends_json() else request.form
