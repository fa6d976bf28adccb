"""Context values and filters for all templates, the navigation of the account pages, and avatars made of initials."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, current_app, request
from flask_login import current_user
from markupsafe import Markup

from app import i18n, own_templates
from app.extensions import settings, this_app
from app.i18n import N_
from app.web.csrf import FIELD, csrf_token
from app.web.destinations import destination_of, letter_of
from app.web.headers import csp_nonce
from app.web.idempotency import idempotency_field
from app.web.redirects import safe_next, with_query

PAGES_OF_FORMS = {"/wan-rename": "/wan-register", "/known-browsers": "/sessions", "/gate/account": "/apps"}
"""Pages whose forms post to a URL that isn't below the page's own."""


def init_app(app: Flask) -> None:
    """Register the template filters and context values."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {
        "datetime_text": i18n.datetime_text,
        "date_text": i18n.date_text,
        "time_text": i18n.time_text,
        "code_groups": code_groups,
    }
    app.jinja_env.globals |= {
        "asset": asset,
        "csrf_field": csrf_field,
        "idempotency_field": idempotency_field,
        "csrf_token": csrf_token,
        "account_pages": ACCOUNT_PAGES,
        "avatar_of": avatar_of,
        "mailbox_of": mailbox_of,
        "page_here": page_here,
        "destination_of": destination_of,
    }
    app.context_processor(_values)


def _values() -> dict[str, Any]:
    """Return the context values of every page. A view that knows who is signed in sets ``user_label`` itself."""
    signed_in = bool(current_user and current_user.is_authenticated)
    language = i18n.language()  # after the user lookup
    return {
        "language": language,
        "direction": i18n.direction(language),
        "languages": {tag: i18n.language_name(tag) for tag in settings.languages},
        "brand": settings.brand_name,
        "support_contact": settings.support_contact,
        "generic_responses": settings.generic_responses,
        "can_recover": settings.can_recover,
        "csp_nonce": csp_nonce(),
        "signed_in": signed_in,
        "user_label": None,
        "user_name": current_user.name if signed_in else None,
        "user_handle": current_user.handle if signed_in else None,
    }


def render_page(name: str, /, **values: Any) -> str:
    """Render a page with ``values`` and the context values of every page."""
    this_app().update_template_context(values)
    return own_templates.render(name, values)


def asset(name: str) -> str:
    """Return the URL of a static file. It changes with the file's content, so browsers can cache it forever."""
    return f"{current_app.static_url_path}/{name}?v={_fingerprint(Path(current_app.static_folder or '') / name)}"


@lru_cache(maxsize=64)
def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def csrf_field() -> Markup:
    """Return the hidden CSRF field that every form includes."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf_token())


def code_groups(code: str) -> str:
    """Return a passcode split in two halves for readability: ``1234 5678``.

    In right-to-left text a plain space would put the second half first; a no-break space doesn't (UAX 9, W4).
    """
    gap = "\u00a0" if i18n.direction(i18n.language()) == "rtl" else " "
    return f"{code[: len(code) // 2]}{gap}{code[len(code) // 2 :]}"


def page_here() -> str:
    """Return the URL of this page to return to: its path, the parameters it needs, and ``next`` if it is safe."""
    asked = {name: request.args[name] for name in ("token", "new", "login_hint", "user_code") if name in request.args}
    target = safe_next(request.args.get("next"))
    return with_query(request.path, **asked, **({"next": target} if target else {}))


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The webmail site of an email provider."""

    name: str
    url: str


GMAIL = Mailbox("Gmail", "https://mail.google.com/")
OUTLOOK = Mailbox("Outlook", "https://outlook.live.com/mail/")
YAHOO = Mailbox("Yahoo Mail", "https://mail.yahoo.com/")
ICLOUD = Mailbox("iCloud Mail", "https://www.icloud.com/mail")
PROTON = Mailbox("Proton Mail", "https://mail.proton.me/")
GMX = Mailbox("GMX", "https://www.gmx.net/")
WEB_DE = Mailbox("WEB.DE", "https://web.de/")
FASTMAIL = Mailbox("Fastmail", "https://app.fastmail.com/")
MAILBOXES = {
    "gmail.com": GMAIL, "googlemail.com": GMAIL, "outlook.com": OUTLOOK, "hotmail.com": OUTLOOK, "live.com": OUTLOOK,
    "msn.com": OUTLOOK, "yahoo.com": YAHOO, "ymail.com": YAHOO, "icloud.com": ICLOUD, "me.com": ICLOUD,
    "mac.com": ICLOUD, "proton.me": PROTON, "protonmail.com": PROTON, "pm.me": PROTON, "gmx.net": GMX, "gmx.de": GMX,
    "web.de": WEB_DE, "fastmail.com": FASTMAIL,
}  # fmt: skip
"""Popular providers by email domain."""


def mailbox_of(email: str) -> Mailbox | None:
    """Return the webmail site of an email address, by its domain alone; None if we don't know it."""
    return MAILBOXES.get(email.rpartition("@")[2].strip().lower())


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """An account page in the navigation.

    :ivar here: value of ``here`` in its template, which marks the entry as current
    :ivar icon: name of an icon in ``ui/icon.html``
    """

    here: str
    path: str
    title: str
    icon: str


ACCOUNT_PAGES = [
    NavigationItem("account", "/", N_("Overview"), "overview"),
    NavigationItem("setup", "/us-setup", N_("Sign-in methods"), "key"),
    NavigationItem("identities", "/identities", N_("Your details"), "person"),
    NavigationItem("devices", "/sessions", N_("Devices"), "browser"),
    NavigationItem("apps", "/apps", N_("Apps"), "apps"),
    NavigationItem("programs", "/tokens", N_("API tokens"), "program"),
    NavigationItem("activity", "/activity", N_("Activity"), "activity"),
    NavigationItem("mydata", "/my-data", N_("Your data"), "data"),
]
"""In display order. To add a page, add a line here; tests then cover it like the others."""


# --- avatars ------------------------------------------------------------------------------------


COLORS = 6
"""Number of avatar colors. app.css has a class for each."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """The avatar that pages show for an account, in place of a picture.

    :ivar letters: "" if there is no letter to show; the page then shows a generic person icon
    :ivar color: number of the color, starting at 1
    """

    letters: str
    color: int


def avatar_of(name: str | None, label: str | None, handle: str | None) -> Avatar:
    """Return the avatar of an account.

    :param label: what to call an account without a name: the first letter of an email address is used, none of a
        phone number
    :param handle: determines the color, so that an account always has the same one
    """
    letters = initials_of(name) if name else _first_letter(label or "")
    return Avatar(letters, zlib.crc32((handle or "").encode()) % COLORS + 1)


def initials_of(name: str) -> str:
    """Return the initials of a name: the first letters of its first and last word.

    Scripts without case don't use initials, so for those return the first letter only.
    """
    words = [word for word in name.split() if any(character.isalnum() for character in word)]
    letters = [letter_of(word) for word in words[:1] + words[1:][-1:]]
    return "".join(letters) if all(map(_has_case, letters)) else "".join(letters[:1])


def _first_letter(label: str) -> str:
    return letter_of(label) if any(character.isalpha() for character in label) else ""


def _has_case(letter: str) -> bool:
    return letter.lower() != letter.upper()
