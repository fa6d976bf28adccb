"""Translate the reasons why a message or webhook event was not sent.

Workers store reasons in English. They double as codes: commands, logs and JSON show them unchanged. This module
translates them for pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from app.i18n import N_, gettext, isolated

_KNOWN = frozenset((
    N_("address not allowed"),
    N_("address suppressed"),
    N_("answer is no HTTP"),
    N_("answered {status}"),
    N_("app broke off"),
    N_("app failed"),
    N_("app redirects"),
    N_("app refused the logout token"),
    N_("app speaks no TLS that we know"),
    N_("app unreachable"),
    N_("app's address is in a private network"),
    N_("app's certificate not trusted"),
    N_("app's name not found"),
    N_("certificate not trusted"),
    N_("channel rests"),
    N_("endpoint disabled for too long"),
    N_("expired"),
    N_("its secret can't be read"),
    N_("email larger than the server takes"),
    N_("mail server hung up"),
    N_("mail server hung up before it answered"),
    N_("mail server not ready"),
    N_("mail server offers no STARTTLS"),
    N_("mail server offers no sign-in"),
    N_("mail server offers no sign-in mechanism that we know"),
    N_("mail server refused user or password"),
    N_("mail server speaks no TLS that we know"),
    N_("mail server unreachable"),
    N_("mail server wants a sign-in first"),
    N_("mail server's answer not understood"),
    N_("mail server's certificate not trusted"),
    N_("mail server's name not found"),
    N_("message refused"),
    N_("name not found"),
    N_("no SMS provider is set"),
    N_("no mail server is set"),
    N_("not rendered"),
    N_("not rendered as mail"),
    N_("not rendered as sms"),
    N_("not rendered as logout"),
    N_("not sent"),
    N_("provider answered {status} without success"),
    N_("provider asks to wait"),
    N_("provider broke off"),
    N_("provider failed"),
    N_("provider refused"),
    N_("provider refuses us"),
    N_("provider speaks no TLS that we know"),
    N_("provider unreachable"),
    N_("provider's certificate not trusted"),
    N_("provider's name not found"),
    N_("recipient isn't one address"),
    N_("recipient refused"),
    N_("redirects {status}"),
    N_("restored from a backup"),
    N_("sender refused"),
    N_("speaks no TLS that we know"),
    N_("subject has a line break"),
    N_("timed out"),
    N_("unreachable"),
    N_("worker busy"),
    N_("worker stopped"),
    N_("written by a newer release"),
))  # fmt: skip
"""Known reasons. A detail may follow in parentheses: a code, an exception name, or an earlier reason."""

_STATUS = re.compile(r"\b[1-5][0-9]{2}\b")


@dataclass(frozen=True, slots=True)
class ReasonText:
    """A reason as shown on a page.

    :ivar is_known: whether it is in the reader's language; otherwise it is in English, as stored
    """

    text: str
    is_known: bool


def reason_text(reason: str) -> ReasonText:
    """Return a stored reason in the reader's language. Handles reasons that were truncated when stored."""
    pattern, _, remainder = reason.partition(" (")
    detail = remainder.removesuffix(")")
    status = _STATUS.search(pattern)
    pattern = pattern.replace(status[0], "{status}") if status else pattern
    if pattern not in _KNOWN:
        return ReasonText(reason, False)
    text = gettext(pattern, status=status[0] if status else "")
    if not detail:
        return ReasonText(text, True)
    inner = reason_text(detail)
    return ReasonText(gettext("{reason} ({detail})", reason=text, detail=isolated(inner.text)), True)


def reason_html(reason: str) -> Markup:
    """Return a stored reason for a page, marked as English where it isn't in the reader's language."""
    translated = reason_text(reason)
    language = Markup("") if translated.is_known else Markup(' lang="en" dir="ltr"')
    return Markup('<span class="breakable"{}>{}</span>').format(language, translated.text)
