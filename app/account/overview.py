"""The account's security at a glance: what protects it, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app import user_agents
from app.audit import Event
from app.authenticators.presenters import exposure_of, title_of
from app.authenticators.recovery_codes import CodeCount
from app.authenticators.registry import authenticator_of
from app.authenticators.webauthn import passkeys
from app.db.compiled import Detached
from app.enrollments.methods import WEAK, active_methods, method_of, methods
from app.enrollments.models import Enrollment
from app.extensions import db, settings
from app.i18n import all_of, any_of, gettext, ngettext
from app.login.second_factor import enabled_second_factors
from app.sessions.assurance import strength_of
from app.sessions.models import AuthSession

_ROWS = Detached(Event)
_c = Event.__table__.c


@dataclass(frozen=True, slots=True)
class OverviewItem:
    """A protection that an account has or lacks.

    :ivar icon: name of an icon in ``ui/icon.html``
    :ivar is_well: whether there is nothing left to do
    :ivar go: page where it can be changed, and ``action`` the label of its button
    :ivar needs_proof: whether the change needs a strong method
    :ivar dismiss: URL that "not now" posts to, or "" if too important to dismiss
    """

    icon: str
    title: str
    is_well: bool
    text: str
    go: str
    action: str
    needs_proof: bool = False
    dismiss: str = ""


def overview_of(enrolled: Sequence[Enrollment], code_count: CodeCount, *, declined: bool = False) -> list[OverviewItem]:
    """Return the protections of the account with these enrollments; for missing ones, the text says why they matter.

    The most important comes first: for someone with a passkey or an app, recovery codes for the day it is lost.
    Features that the operator has turned off are not recommended.
    :param declined: whether the user said "not now" to a passkey
    """
    codes, second = [_codes(code_count)], _second_step(enrolled)
    has_strong = any(strength_of(row.method) > WEAK for row in enrolled if not row.is_pending)
    return [
        *_sign_in_methods(enrolled),
        *_passkey(enrolled, declined),
        *(codes + second if has_strong else second + codes),
    ]


def sign_in_methods_of(enrolled: Sequence[Enrollment]) -> list[str]:
    """Return the names of the sign-in methods that are set up, passkeys last."""
    has_passkeys = settings.can_use_passkeys and any(not method_of(row.method).is_typed for row in enrolled)
    return active_methods(enrolled) + ([passkeys.METHOD] if has_passkeys else [])


def seconds_of(enrolled: Sequence[Enrollment]) -> list[str]:
    """Return the names of this user's second factors."""
    marked = {row.method for row in enrolled if row.is_second}
    return [name for name in enabled_second_factors() if name in marked] if settings.second_factor != "off" else []


def sign_in_before(session: AuthSession) -> dict[str, Any] | None:
    """Return when, where and how the account was last signed in to before ``session``; None if that isn't known.

    One SQL statement. Owners who don't recognize that sign-in know that someone else has access.
    """
    earlier = (_c.user_id == session.user_id, _c.name == "sign_in.succeeded", _c.at < session.created_at)
    newest = _ROWS.select().where(*earlier).order_by(_c.at.desc()).limit(1)
    row = db.session.execute(newest).first()
    if row is None:
        return None
    event: Event = _ROWS.read(row)[0]
    browser = user_agents.label(event.agent) if event.agent else None
    return {"at": event.at, "browser": browser, "address": event.address or None, "method": event.facts.get("method")}


def _sign_in_methods(enrolled: Sequence[Enrollment]) -> list[OverviewItem]:
    names = sign_in_methods_of(enrolled)
    if len(names) < 2 and not _others(names):
        return []
    title = ngettext("{count} sign-in method", "{count} sign-in methods", len(names))
    if len(names) > 1:
        titles = all_of([title_of(name) for name in names])
        return [OverviewItem("key", title, True, titles, "/us-setup", gettext("Manage"))]
    text = gettext("If you lose it, you're locked out. Add another one so that you can still sign in.")
    return [OverviewItem("key", title, False, text, "/us-setup", gettext("Add another"))]


def _others(names: Sequence[str]) -> list[str]:
    """Return the sign-in methods that could be set up in addition to ``names``."""
    offered = [each.name for each in methods().values() if each.is_enabled and each.is_typed]
    return [name for name in offered + [passkeys.METHOD] * settings.can_use_passkeys if name not in names]


def _passkey(enrolled: Sequence[Enrollment], declined: bool) -> list[OverviewItem]:
    has_one = any(not method_of(row.method).is_typed for row in enrolled)
    if not settings.can_use_passkeys or (declined and not has_one):
        return []
    text = gettext(
        "With a passkey you sign in with your fingerprint, face or PIN: no code to type, and fake sites can't steal it."
    )
    if has_one:
        return [OverviewItem("webauthn", gettext("You have a passkey"), True, text, "/us-setup", gettext("Manage"))]
    title, action = gettext("No passkey yet"), gettext("Add a passkey")
    return [OverviewItem("webauthn", title, False, text, "/wan-register", action, dismiss="/passkey-offer/not-now")]


def _second_step(enrolled: Sequence[Enrollment]) -> list[OverviewItem]:
    if settings.second_factor == "off" or not enabled_second_factors():
        return []
    names = seconds_of(enrolled)
    if names:
        methods = any_of([gettext(authenticator_of(name).second_phrase) for name in names])
        text = gettext("After a password or a code we send you, we also ask for {methods}.", methods=methods)
        title = gettext("Two-step verification is on")
        return [OverviewItem("authenticator", title, True, text, "/tf-setup", gettext("Change"), needs_proof=True)]
    exposed = exposure_of(sign_in_methods_of(enrolled))
    if not exposed:
        text = gettext("Your sign-in methods are strong enough without it.")
        title = gettext("Two-step verification isn't needed")
        return [OverviewItem("authenticator", title, True, text, "/tf-setup", gettext("Manage"))]
    text = f"{exposed} {gettext('With two-step verification, they also need your app or phone.')}"
    title = gettext("Two-step verification is off")
    return [OverviewItem("authenticator", title, False, text, "/tf-setup", gettext("Turn on"), needs_proof=True)]


def _codes(code_count: CodeCount) -> OverviewItem:
    go = "/mf-recovery-codes"
    if code_count.left and not code_count.is_low:
        title = ngettext("{count} recovery code left", "{count} recovery codes left", code_count.left)
        text = gettext("Use one if you lose your app, phone or passkey.")
        return OverviewItem("recovery_code", title, True, text, go, gettext("Manage"))
    if code_count.made_at is not None:
        title = ngettext("{count} recovery code left", "{count} recovery codes left", code_count.left)
        text = gettext("It's time to create new ones.")
        return OverviewItem("recovery_code", title, False, text, go, gettext("Create new codes"), needs_proof=True)
    text = gettext(
        "One-time recovery codes. Keep them somewhere safe, and use one if you lose your app, phone or passkey."
    )
    return OverviewItem(
        "recovery_code", gettext("No recovery codes"), False, text, go, gettext("Create codes"), needs_proof=True
    )
