"""A user's decision about a device: which one shows the code they entered, and whether it may sign in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app import throttling
from app.audit import record
from app.errors import Rejected
from app.extensions import db
from app.oidc import consents, devices
from app.oidc.authorization import LEVELS, Authorization
from app.oidc.clients import DEVICE_CODE, Client, find_client
from app.oidc.errors import OAuthError
from app.oidc.interaction import Situation, Step, next_step, scopes_to_allow
from app.oidc.models import DeviceRequest
from app.oidc.resources import resources_of
from app.sessions.models import AuthSession
from app.throttling import by_account
from app.throttling.by_account import HOUR

FIELD = "user_code"


@dataclass(frozen=True, slots=True)
class PendingDevice:
    """A device that waits for a user's decision, and that user.

    :ivar user_code: the code it shows, formatted for people
    """

    user_code: str
    row: DeviceRequest
    authorization: Authorization
    situation: Situation

    @property
    def step(self) -> Step:
        """Next step for the user. ``consent`` and ``answer`` are the same here: every device needs a decision."""
        return next_step(self.authorization, self.situation)

    @property
    def scopes(self) -> list[str]:
        """Scopes the user decides about."""
        return scopes_to_allow(self.authorization)


def look_up(typed: str, session: AuthSession, address: str, *, decides: bool | None = None) -> PendingDevice:
    """Return the device that shows the entered code. A wrong code counts against the account and the network address.

    The attempt is counted before the lookup (RFC 8628, section 5.1). Text that can't be a code doesn't count, and
    neither does the code of a request that is over.

    :param decides: the decision the user is submitting; one just made in this session may be repeated
    :raises Rejected: ``device_code_wrong`` or ``device_code_over`` on ``user_code``; ``too_many_requests`` (429)
    """
    throttling.check("failures", address)
    user_code = devices.read_user_code(typed)
    if user_code is None:
        raise Rejected("device_code_wrong", field=FIELD)
    attempt = by_account.reserve(session.user_id, "", of_device=True)
    if attempt is None:
        raise Rejected("too_many_requests", status=429, retry_after=int(HOUR.total_seconds()))
    row = devices.find(user_code)
    if row is None:
        throttling.take("failures", address)
        if attempt.is_last:
            record("budget.exhausted", session.user_id, autocommit=True, budget="failures")
        raise Rejected("device_code_wrong", field=FIELD)
    by_account.refund(attempt)
    client = find_client(row.client_id)
    if client is None or DEVICE_CODE not in client.grant_types:
        raise Rejected("device_code_over", field=FIELD)
    if devices.state_of(row) != "waiting" and not _is_decided(row, decides, session):
        raise Rejected("device_code_over", field=FIELD)
    authorization = _authorization_of(client, row)
    relation = consents.relation_of(session.user_id, client.id, session.session_id)
    return PendingDevice(
        devices.format_user_code(user_code), row, authorization, Situation(session, relation, row.created_at)
    )


def _authorization_of(client: Client, row: DeviceRequest) -> Authorization:
    """Return a device's request, limited to what its client may have now.

    :raises Rejected: ``device_code_over`` if nothing is left of it, or a service its tokens would be for is gone
    """
    requested = row.scopes.split()
    scopes = tuple(scope for scope in client.scopes if scope in requested)
    if not scopes:
        raise Rejected("device_code_over", field=FIELD)
    try:
        resource, served_by = resources_of({"resource": row.resource}, client)
    except OAuthError:
        raise Rejected("device_code_over", field=FIELD) from None
    return Authorization(
        client,
        redirect_uri="",
        scopes=scopes,
        max_age=client.default_max_age,
        level=max(LEVELS[each.level] for each in (client, *served_by)),
        resource=resource,
        served_by=served_by,
    )


def _is_decided(row: DeviceRequest, decides: bool | None, session: AuthSession) -> bool:
    """Return whether the user has just made this same decision: a double click.

    A refusal has the same effect however often it is repeated, so its session doesn't matter.
    """
    if decides is None:
        return False
    return devices.was_allowed_in(row, session) if decides else devices.was_denied(row)


def decide(device: PendingDevice, *, allows: bool) -> None:
    """Record the user's decision, once. Repeating it in the same session has no effect.

    :raises Rejected: ``device_code_over`` if it was decided differently in the meantime
    """
    client, session = device.authorization.client, device.situation.session
    if _is_decided(device.row, allows, session):
        return
    facts: dict[str, Any] = {"client": client.id, "app": client.name}
    facts |= {"device": device.row.agent, "device_address": device.row.address}
    decided = (
        devices.allow(device.row, client, device.authorization.scopes, session) if allows else devices.deny(device.row)
    )
    if not decided:
        _reject_unless_decided(device, allows)
    elif not allows:
        record("app.device_refused", session.user_id, **facts)
    else:
        if client.consent == "ask":
            consents.allow_more(session.user_id, client, device.scopes, device.situation.relation)
        record("app.device_allowed", session.user_id, scopes=" ".join(device.scopes), **facts)


def _reject_unless_decided(device: PendingDevice, allows: bool) -> None:
    """Accept the second of two concurrent clicks if the first one made the same decision."""
    db.session.refresh(device.row)
    if not _is_decided(device.row, allows, device.situation.session):
        raise Rejected("device_code_over", field=FIELD)
