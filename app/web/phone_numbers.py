"""Phone numbers on pages: national grouping, and the country list next to a phone field."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import request
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header
from wtforms.validators import StopValidation

from app.extensions import settings
from app.i18n import MAX_HEADER_LENGTH, N_, isolated, language, territories_in
from app.web.forms import BaseForm, TextField
from app.web.messages import message

if TYPE_CHECKING:
    from flask import Flask

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def init_app(app: Flask) -> None:
    """Register ``phone_countries()``, ``phone_country(typed)`` and the filter ``identity_text`` for templates."""
    app.jinja_env.globals |= {"phone_countries": phone_countries, "phone_country": phone_country}
    app.jinja_env.filters["identity_text"] = identity_text


def identity_text(text: str | None) -> str:
    """Return an E.164 number with grouping, ``+49 1512 3456789``; any other identity unchanged, and "" for None."""
    return isolated(_grouped(text)) if text and _E164.fullmatch(text) else text or ""


@lru_cache(maxsize=1024)
def _grouped(number: str) -> str:
    # Imported here because only pages that show a number need these tables.
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return number
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL))


def phone_countries() -> tuple[tuple[str, str], ...]:
    """Return countries as (ISO 3166 code, ``Germany (+49)``), in the user's language, sorted by name.

    Only countries that text messages may be sent to; in development all of them, unless some are configured.
    """
    return _listed(language(), tuple(settings.sms_countries))


@lru_cache(maxsize=64)
def _listed(tag: str, allowed: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    names = territories_in(tag)
    codes = [code for code in allowed or _calling_codes() if code in names and code in _calling_codes()]
    codes.sort(key=lambda code: _sort_key(names[code]))
    return tuple((code, f"{names[code]} ({isolated(f'+{_calling_codes()[code]}')})") for code in codes)


def _sort_key(name: str) -> str:
    """Return the sort key of a country name, ignoring accents and case."""
    plain = unicodedata.normalize("NFKD", name.casefold().replace("ł", "l"))
    return "".join(character for character in plain if not unicodedata.combining(character))


@lru_cache(maxsize=1)
def _calling_codes() -> dict[str, int]:
    """Return the calling code of each country. Doesn't load the numbering metadata of the countries."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    by_code = COUNTRY_CODE_TO_REGION_CODE.items()
    return {region: code for code, regions in by_code for region in regions if region.isalpha()}


def phone_country(typed: str | None) -> str:
    """Return the country to preselect: ``typed``, else the browser's, else the operator's default."""
    listed = {code for code, _ in phone_countries()}
    of_browser = _region_accepted(request.headers.get("Accept-Language", "")[:MAX_HEADER_LENGTH])
    return next((code for code in ((typed or "").upper(), of_browser) if code in listed), settings.phone_region_default)


@lru_cache(maxsize=256)
def _region_accepted(header: str) -> str:
    """Return the region of the browser's preferred language, such as AT for ``de-AT, en``; "" if there is none.

    Firefox sends the region after the bare language: ``fr, fr-CA;q=0.8, en-US;q=0.5``.
    """
    accepted = list(parse_accept_header(header, LanguageAccept).values())
    first = accepted[0].partition("-")[0] if accepted else ""
    parts = (part for tag in accepted if tag.partition("-")[0] == first for part in tag.split("-")[1:])
    return next((part.upper() for part in parts if len(part) == 2 and part.isalpha()), "")


def _known_country(form: BaseForm, field: Any) -> None:
    """The field, if given, must be a country that has phone numbers."""
    if field.data and field.data.upper() not in _calling_codes():
        raise StopValidation(message("phone_country_invalid"))


class PhoneCountryField(TextField):
    """The country (ISO 3166, two letters) of a number typed without +; the operator's default if empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(N_("Country"), [_known_country], **options)

    @property
    def region(self) -> str:
        """The country used to parse the number."""
        return (self.data or settings.phone_region_default).upper()
