"""Texts, dates and lists in the reader's language: gettext catalogs, and formats from Babel (ADR 45).

Placeholders are in braces, ``_("Sent to {email}.", email=email)``, in Python as well as in templates.
"""

from __future__ import annotations

import gettext as catalogs
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babel import Locale, dates, lists, units
from flask import g, has_app_context
from jinja2 import pass_eval_context
from markupsafe import Markup
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from app import user_agents
from app.extensions import current_request, settings
from config.languages import LANGUAGES

if TYPE_CHECKING:
    from flask import Flask, Request
    from jinja2.nodes import EvalContext

FOLDER = Path(__file__).parent / "translations"
COOKIE = "latchkey_language"
"""Cookie with the language chosen here."""

ASKED = "latchkey_asked_language"
"""Cookie with the language requested by an app. It takes precedence over Accept-Language."""

RIGHT_TO_LEFT = frozenset({"ar"})
MAX_HEADER_LENGTH = 200
"""Maximum characters of Accept-Language that are parsed."""

_LOCALES = {"en": "en_GB"}
"""Languages that use a region's date format: 23 Nov 2026, 07:56."""

_language_override: ContextVar[str] = ContextVar("spoken_language", default="")


def init_app(app: Flask) -> None:
    """Add functions and filters to templates, and load each catalog, so that a broken one is detected at startup.

    :raises OSError: when a catalog can't be read
    """
    app.jinja_env.globals |= {"_": _in_template, "ngettext": _plural_in_template, "pgettext": _context_in_template}
    app.jinja_env.filters |= {"any_of": any_of, "all_of": all_of, "names_of": names_of, "span_text": span_text}
    app.jinja_env.filters["isolated"] = isolated
    app.jinja_env.filters |= {"browser_text": browser_text, "day_text": day_text, "number_text": number_text}
    for language in app.extensions["latchkey.settings"].languages:
        _catalog(language)


def N_(text: str) -> str:  # noqa: N802 - gettext's own name, which extraction knows
    """Mark ``text`` for translation where it is defined; ``gettext`` translates it where it is shown."""
    return text


def gettext(text: str, **facts: Any) -> str:
    """Return ``text`` in the reader's language, formatted with ``facts``."""
    return _catalog(language()).gettext(text).format(**facts)


def ngettext(one: str, many: str, count: int, **facts: Any) -> str:
    """Return the singular or plural form for ``count``, translated; ``{count}`` in it is the number."""
    return _catalog(language()).ngettext(one, many, count).format(count=count, **facts)


def pgettext(context: str, text: str, **facts: Any) -> str:
    """Return ``text`` translated for ``context``, as one English word may have several translations."""
    return _catalog(language()).pgettext(context, text).format(**facts)


def language() -> str:
    """Return the reader's language: the one set by ``use_language``, the request's, or the service's first.

    Without an app there are no settings, so it is English.
    """
    return _language_override.get() or (
        _request_or_user_language() or default_language() if has_app_context() else "en"
    )


def default_language() -> str:
    """Return the language for readers whose language is unknown."""
    return str(settings.languages[0])


@contextmanager
def use_language(tag: str) -> Iterator[None]:
    """Use the language ``tag`` in this block; the service's first language if ``tag`` isn't offered."""
    token = _language_override.set(tag if tag in settings.languages else default_language())
    try:
        yield
    finally:
        _language_override.reset(token)


@contextmanager
def in_language(tag: str) -> Iterator[None]:
    """Use ``tag``, one of our languages, in this block, whether the service offers it or not."""
    token = _language_override.set(tag)
    try:
        yield
    finally:
        _language_override.reset(token)


def in_english() -> AbstractContextManager[None]:
    """Use English in this block, offered or not, for texts that are stored."""
    return in_language("en")


def _request_or_user_language() -> str:
    """Return the request's language: the signed-in user's, the cookie's, or the browser's preferred one.

    This doesn't load the user. Until the session has been read, there is none.
    """
    request = current_request()
    if request is None:
        return ""
    offered = settings.languages
    if len(offered) == 1:
        return str(offered[0])
    user = g.get("_login_user")
    if user is not None and user.is_authenticated and user.language in offered:
        return str(user.language)
    return request_language(request)


def request_language(request: Request) -> str:
    """Return the language of the request regardless of the user: a cookie's, or the browser's preferred one.

    The language requested by an app, with this request or an earlier one, comes after the one chosen by the reader.
    """
    cookies, prefix = request.cookies, settings.cookie_prefix
    for chosen in (cookies.get(prefix + COOKIE), g.get("asked_language"), cookies.get(prefix + ASKED)):
        if chosen in settings.languages:
            return str(chosen)
    return _first_accepted(request.headers.get("Accept-Language", "")[:MAX_HEADER_LENGTH], settings.languages)


def first_offered(tags: Sequence[str]) -> str:
    """Return the first offered language among these BCP 47 tags, ignoring regions if necessary, or ""."""
    named = (LanguageAccept([(tag, 1), (tag.partition("-")[0], 0.5)]) for tag in tags if tag != "*")
    return next((found for accepted in named if (found := accepted.best_match(settings.languages))), "")


@lru_cache(maxsize=256)
def _first_accepted(header: str, offered: Sequence[str]) -> str:
    return parse_accept_header(header, LanguageAccept).best_match(offered) or offered[0]


def direction(tag: str) -> str:
    """Return ``rtl`` or ``ltr``, for the ``dir`` attribute."""
    return "rtl" if tag in RIGHT_TO_LEFT else "ltr"


def isolated(text: str) -> str:
    """Return ``text`` isolated, so that punctuation at its ends stays in place in right-to-left languages (UAX 9)."""
    return f"\u2068{text}\u2069" if direction(language()) == "rtl" else text


def language_name(tag: str) -> str:
    """Return a language's name in that language: ``Deutsch``."""
    return LANGUAGES[tag]


def catalog(tag: str) -> catalogs.NullTranslations:
    """Return the catalog of one of our languages, loaded on first use."""
    return _catalog(tag)


def number_text(count: int, tag: str = "") -> str:
    """Return an integer with a language's digit grouping: ``12.345`` in German. Defaults to the reader's language."""
    from babel import numbers

    return str(numbers.format_decimal(count, locale=_locale(tag or language())))


@cache
def _catalog(tag: str) -> catalogs.NullTranslations:
    """Return the catalog of a language; English needs none."""
    if tag == "en":
        return catalogs.NullTranslations()
    return catalogs.translation("messages", FOLDER, [tag.replace("-", "_")])


@cache
def _locale(tag: str) -> Locale:
    return Locale.parse(_LOCALES.get(tag, tag.replace("-", "_")))


def territories_in(tag: str) -> Mapping[str, str]:
    """Return the names of countries in a language, by code (ISO 3166)."""
    return _locale(tag).territories


def datetime_text(moment: datetime) -> str:
    """Return a formatted date and time: ``23 Nov 2026, 07:56 UTC``."""
    return _datetime_pattern(language()).replace("{0}", time_text(moment)).replace("{1}", date_text(moment))


@cache
def _datetime_pattern(tag: str) -> str:
    return str(dates.get_datetime_format("medium", _locale(tag))).replace("'", "")


def load_date_formats(tag: str) -> None:
    """Load a language's date formats, so that processes forked from this one share Babel's data for it (4 MB)."""
    _datetime_pattern(tag)
    _day_text(date.min, tag)


def time_text(moment: datetime) -> str:
    """Return a formatted time of day, without seconds: ``07:56 UTC``."""
    return f"{moment:%H:%M} UTC"


def date_text(moment: datetime) -> str:
    """Return a formatted date: ``23 Nov 2026``."""
    return _day_text(moment.date(), language())


@lru_cache(maxsize=1024)
def _day_text(day: date, tag: str) -> str:
    return str(dates.format_skeleton("yMMMd", day, locale=_locale(tag)))


def day_text(day: date) -> str:
    """Return a date in long form, for headings: ``Monday, 23 November 2026``."""
    return str(dates.format_date(day, "full", locale=_locale(language())))


def any_of(parts: Sequence[str]) -> str:
    """Join parts with "or": ``an app, a passkey or a code``."""
    return lists.format_list(list(parts), style="or", locale=_locale(language()))


def all_of(parts: Sequence[str]) -> str:
    """Join parts with "and": ``an app, a passkey and a code``."""
    return lists.format_list(list(parts), locale=_locale(language()))


def names_of(names: Sequence[str], titles: Mapping[str, str]) -> str:
    """Return a list of translated titles. ``titles`` are marked for translation."""
    return all_of([gettext(titles.get(name, name)) for name in names])


def browser_text(label: str) -> str:
    """Return a browser's label in the reader's language: ``Firefox on Linux``."""
    name, on, system = label.partition(" on ")
    if name == user_agents.UNKNOWN:
        name = gettext("Unknown browser")
    if not on:
        return name
    if system == user_agents.IPHONE_OR_IPAD:
        system = gettext("iPhone or iPad")
    return gettext("{browser} on {system}", browser=name, system=system)


SPANS = (("day", 86400, 2), ("hour", 3600, 2), ("minute", 60, 1), ("second", 1, 0))
"""Units of time, their length in seconds, and the minimum count from which each is used."""


def span_text(seconds: float) -> str:
    """Return a formatted duration, rounded up: ``2 minutes``."""
    unit, size, _ = next(span for span in SPANS if seconds >= span[1] * span[2])
    whole = -(-int(seconds) // size)
    return str(units.format_unit(whole, f"duration-{unit}", "long", locale=_locale(language())))


@pass_eval_context
def _in_template(context: EvalContext, text: str, **facts: Any) -> str:
    return _filled(context, _catalog(language()).gettext(text), facts)


@pass_eval_context
def _plural_in_template(context: EvalContext, one: str, many: str, count: int, **facts: Any) -> str:
    return _filled(context, _catalog(language()).ngettext(one, many, count), {"count": count} | facts)


@pass_eval_context
def _context_in_template(context: EvalContext, about: str, text: str, **facts: Any) -> str:
    return _filled(context, _catalog(language()).pgettext(about, text), facts)


def _filled(context: EvalContext, text: str, facts: dict[str, Any]) -> str:
    """Format a text with ``facts``: escaped in HTML, where the text itself may contain tags, else unchanged."""
    if facts or "{" in text:
        return Markup(text).format(**facts) if context.autoescape else text.format(**facts)  # noqa: S704 - from our catalogs
    return Markup(text) if context.autoescape else text  # noqa: S704 - from our catalogs
