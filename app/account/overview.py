"""The account's security at a glance: what protects it and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app import user_agents
from app.audit import Event
from app.authenticators.presenters import exposure_of, title_of
from app.authenticators.recovery_codes import Stock
from app.authenticators.registry import authenticator_of
from app.authenticators.webauthn import passkeys
from app.db.compiled import Detached
from app.enrollments.catalog import active_methods, method_of
from app.enrollments.models import Enrollment
from app.extensions import db, settings
from app.login.second_factor import seconds_enabled
from app.sessions.models import AuthSession

_ROWS = Detached(Event)
_c = Event.__table__.c


@dataclass(frozen=True, slots=True)
class OverviewItem:
    """One thing that protects an account, or would.

    :ivar icon: a drawing of ``ui/icon.html``
    :ivar is_well: whether nothing is left to do about it
    :ivar go: the page where that is done, and ``action`` what to press there
    :ivar changing: begins the sentence that says what the change needs, "Changing it"; "" when any session may make it
    """

    icon: str
    title: str
    is_well: bool
    text: str
    go: str
    action: str
    changing: str = ""


def overview_of(enrolled: Sequence[Enrollment], stock: Stock) -> list[OverviewItem]:
    """Return what protects the account of whom ``enrolled`` belongs to; what is missing says why it matters."""
    return [_ways(enrolled), *_second_step(enrolled), _codes(stock)]


def ways_of(enrolled: Sequence[Enrollment]) -> list[str]:
    """Return the names of the ways to sign in that somebody has set up, passkeys last."""
    has_passkeys = settings.can_use_passkeys and any(not method_of(row.method).is_typed for row in enrolled)
    return active_methods(enrolled) + ([passkeys.METHOD] if has_passkeys else [])


def seconds_of(enrolled: Sequence[Enrollment]) -> list[str]:
    """Return the names of the methods that this user is asked for as a second step."""
    marked = {row.method for row in enrolled if row.is_second}
    return [name for name in seconds_enabled() if name in marked] if settings.second_factor != "off" else []


def sign_in_before(session: AuthSession) -> dict[str, Any] | None:
    """Return when, where and how the account was signed in to before ``session``; None when nothing is known of it.

    One statement. The owner who does not know it has had a visitor.
    """
    earlier = (_c.user_id == session.user_id, _c.name == "sign_in.succeeded", _c.at < session.created_at)
    newest = _ROWS.select().where(*earlier).order_by(_c.at.desc()).limit(1)
    row = db.session.execute(newest.execution_options(plan_anew=True)).first()
    if row is None:
        return None
    event: Event = _ROWS.read(row)[0]
    browser = user_agents.label(event.agent) if event.agent else None
    return {"at": event.at, "browser": browser, "address": event.address or None, "method": event.facts.get("method")}


def _ways(enrolled: Sequence[Enrollment]) -> OverviewItem:
    names = ways_of(enrolled)
    titles = ", ".join(title_of(name) for name in names)
    if len(names) > 1:
        return OverviewItem("key", f"{len(names)} ways to sign in", True, titles, "/us-setup", "Manage")
    text = "Lose it, and you are locked out. With a second one, the other still lets you in."
    title = "One way to sign in" if names else "No way to sign in"
    return OverviewItem("key", title, False, text, "/us-setup", "Add another")


def _second_step(enrolled: Sequence[Enrollment]) -> list[OverviewItem]:
    if settings.second_factor == "off" or not seconds_enabled():
        return []
    names = seconds_of(enrolled)
    if names:
        steps = " or ".join(authenticator_of(name).second_phrase for name in names)
        text = f"After a mailed code or a password we ask for {steps}."
        return [OverviewItem("authenticator", "Second step is on", True, text, "/tf-setup", "Change", "Changing it")]
    exposed = exposure_of(ways_of(enrolled))
    if not exposed:
        text = "Your sign-in methods need none: what you sign in with is something that only you have."
        return [OverviewItem("authenticator", "No second step", True, text, "/tf-setup", "Manage")]
    text = f"{exposed} With a second step, they also need your app or phone."
    return [
        OverviewItem("authenticator", "Second step is off", False, text, "/tf-setup", "Switch it on", "Switching it on")
    ]


def _codes(stock: Stock) -> OverviewItem:
    go = "/mf-recovery-codes"
    if stock.left and not stock.is_low:
        text = "Each takes the place of your app, phone or passkey once."
        return OverviewItem("recovery_code", f"{stock.left} recovery codes left", True, text, go, "Manage")
    if stock.made_at is not None:
        left = f"{stock.left or 'No'} recovery code{'s' if stock.left > 1 else ''} left"
        return OverviewItem(
            "recovery_code", left, False, "It is time to make new ones.", go, "Make new ones", "Making new ones"
        )
    text = "Ten codes for a drawer. Each takes the place of your app, phone or passkey once, when that is gone."
    return OverviewItem("recovery_code", "No recovery codes", False, text, go, "Make them", "Making them")
