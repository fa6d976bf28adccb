"""The events that are posted to endpoints: a closed list, based on the events of the audit log.

Their data is thin: ids, and reasons and counts from closed lists. A fact that is not listed here is not posted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from app.errors import Rejected
from app.i18n import N_

FIELDS = {
    "by": "who did it: `operator` (a command), `admin:` followed by the handle of an administrator, `link` (the first "
    "administrator's link), `registration` or `document` (the app itself), or `worker`; omitted if it was the "
    "account's owner",
    "method": "sign-in method: `email`, `sms`, `authenticator`, `webauthn`, `password`, `recovery_code` and others",
    "group": "name of the group",
    "client": "client ID of the app; for an app identified by a document, the document's host",
}
"""Fields that mean the same in every type."""


@dataclass(frozen=True, slots=True)
class EventType:
    """An event type.

    :ivar source: audit log event that it is based on; "" for one that a package queues itself
    :ivar description: what happened, in one sentence
    :ivar fields: what ``data`` may contain besides ``id``, ``user`` and ``support_id``, with descriptions; "" for one
        of ``FIELDS``
    """

    name: str
    source: str
    description: str
    fields: Mapping[str, str] = field(default_factory=dict)


TEST = "webhook.test"
ACCOUNT_CREATED = "account.created"
ACCOUNT_DELETED = "account.deleted"

ALL = (
    EventType(ACCOUNT_CREATED, "account.created",
              N_("An account was created. Without `by`, no one can sign in to it before `address.confirmed`."),
              {"by": ""}),
    EventType("account.disabled", "account.disabled", N_("An account was disabled; all its sessions ended."),
              {"by": ""}),
    EventType("account.enabled", "account.enabled", N_("An account was enabled again."), {"by": ""}),
    EventType("account.unlocked", "account.unlocked", N_("An account was unlocked: its codes are accepted again."),
              {"by": ""}),
    EventType(
        "account.deletion_requested",
        "account.deletion_requested",
        N_("An account was closed and will be erased after the waiting period; all its sessions ended."),
        {"by": ""},
    ),
    EventType("account.deletion_undone", "account.deletion_undone", N_("The deletion of an account was canceled."),
              {"by": ""}),
    EventType(ACCOUNT_DELETED, "", N_("An account was erased. Delete the data you have stored about `user`.")),
    EventType("sign_in.succeeded", "sign_in.succeeded", N_("Someone signed in, and a session was created."),
              {"method": "", "second": "method of the second step, if there was one",
               "browser": "whether the account knows the browser: `new` or `known`; `none` for an API client"}),
    EventType("sign_in.failed", "sign_in.failed",
              N_("A sign-in failed. `user` is `null` if no account has that identity."),
              {"method": "",
               "reason": "`wrong_code`, `older_code`, `other_browser`, `budget_spent`, `expired`, `spent` and others",
               "purpose": "`sign_in`, `verify` (confirming that it's you) and others"}),
    EventType("sign_in.confirmed", "sign_in.step_up", N_("Someone who is signed in confirmed that it's them."),
              {"method": ""}),
    EventType("sign_in.reported", "link.denied_by_user",
              N_("A person reported a sign-in as \"this wasn't me\"; everything that resulted from it was ended.")),
    EventType("session.ended", "session.ended", N_("Sessions were ended by a person or an operator."),
              {"reason": "`signed_out`, `ended_by_owner`, `others_ended_by_owner` or `ended_by_operator`",
               "sessions": "number of sessions, if known", "by": ""}),
    EventType("session.token_reused", "refresh.reused", N_("A refresh token was used twice; its session has ended.")),
    EventType("recovery.started", "recovery.started",
              N_("A recovery with only the mailbox was started; the waiting period began.")),
    EventType("recovery.canceled", "recovery.cancelled", N_("A recovery was canceled."),
              {"how": "`session`, `link`, `operator`, `deletion` and others"}),
    EventType("recovery.completed", "recovery.completed", N_("An account was recovered; all its sessions ended.")),
    EventType("recovery_codes.created", "recovery.regenerated", N_("New recovery codes replaced the old ones."),
              {"left": "number of codes"}),
    EventType("recovery_codes.used", "recovery.code_used", N_("A recovery code was used."),
              {"left": "number of unused codes"}),
    EventType("address.confirmed", "address.confirmed", N_("The email address of an account was confirmed."),
              {"method": ""}),
    EventType("address.added", "address.added", N_("An email address was added.")),
    EventType("address.changed", "address.change_confirmed", N_("An email address was replaced by another one.")),
    EventType("address.made_primary", "address.made_primary", N_("Another email address became the primary one.")),
    EventType("address.removed", "address.removed", N_("An email address was removed.")),
    EventType("address.change_undone", "address.change_undone", N_("Changes to addresses were undone."),
              {"changes": "number of changes"}),
    EventType("address.bounced", "address.bounced", N_("An email to an address bounced."),
              {"kind": "`hard` or `soft`", "code": "status code (RFC 3463)", "provider": "who reported it"}),
    EventType("address.complained", "address.complained", N_("An email to an address was reported as spam."),
              {"kind": "`complaint`", "provider": "who reported it"}),
    EventType("address.suppressed", "address.suppressed",
              N_("An address was suppressed: no email is sent to it for now."),
              {"kind": "`hard`, `soft` or `complaint`", "code": "status code (RFC 3463)",
               "provider": "who reported it"}),
    EventType("address.unsuppressed", "address.unsuppressed",
              N_("An address is no longer suppressed: email is sent to it again."),
              {"by": "`operator`, an administrator, or `proved` if a code sent to it was used"}),
    EventType("phone.removed", "phone.removed", N_("A phone number was removed.")),
    EventType("name.set", "name.set", N_("The name of an account was set. Apps get it as `name`.")),
    EventType("name.removed", "name.removed", N_("The name of an account was removed.")),
    EventType("username.set", "username.set", N_("A username was set.")),
    EventType("username.removed", "username.removed", N_("A username was removed.")),
    EventType("method.added", "factor.added", N_("A sign-in method was set up."),
              {"method": "", "usage": "for a passkey, `first` or `secondary`",
               "reason": "`undone` if it was restored because changes were undone"}),
    EventType("method.removed", "factor.removed", N_("A sign-in method was removed."),
              {"method": "", "reason": "`denied` (\"this wasn't me\") or `recovery`; omitted otherwise"}),
    EventType("second_step.enabled", "second_step.on", N_("Two-step verification was turned on."), {"method": ""}),
    EventType("second_step.disabled", "second_step.off", N_("Two-step verification was turned off."), {"by": ""}),
    EventType("api_token.created", "token.created", N_("An API token was created.")),
    EventType("api_token.revoked", "token.revoked", N_("An API token was revoked.")),
    EventType("api_token.all_revoked", "tokens.revoked", N_("All API tokens of an account were revoked."),
              {"reason": "`ended_by_operator`, `denied`, `deletion`, `confirmed` and others",
               "tokens": "number of tokens"}),
    EventType("group.created", "group.created", N_("A group was created."), {"group": "", "by": ""}),
    EventType("group.deleted", "group.deleted", N_("A group was deleted."),
              {"group": "", "members": "number of members it had", "by": ""}),
    EventType("group.member_added", "group.member_added", N_("An account was added to a group."),
              {"group": "", "by": ""}),
    EventType("group.member_removed", "group.member_removed", N_("An account was removed from a group."),
              {"group": "", "by": ""}),
    EventType("app.signed_in", "app.signed_in", N_("Someone signed in to an app."), {"client": ""}),
    EventType("app.signed_out", "app.signed_out", N_("Someone signed out of a protected app."), {"client": ""}),
    EventType("app.allowed", "app.allowed", N_("A person allowed an app to use their account."),
              {"client": "", "scopes": "granted scopes, separated by spaces"}),
    EventType("app.removed", "app.removed", N_("A person revoked an app's access to their account."), {"client": ""}),
    EventType("app.not_allowed", "app.not_allowed",
              N_("Someone was rejected by an app because they aren't in any of its groups."),
              {"client": ""}),
    EventType("client.created", "client.created", N_("An app was added."), {"client": "", "by": ""}),
    EventType("client.changed", "client.changed", N_("An app was changed."), {"client": "", "by": ""}),
    EventType("client.secret_rotated", "client.secret_rotated", N_("An app's secret was rotated."),
              {"client": "", "by": ""}),
    EventType("client.disabled", "client.disabled", N_("An app was disabled."), {"client": "", "by": ""}),
    EventType("client.enabled", "client.enabled", N_("An app was enabled again."), {"client": "", "by": ""}),
    EventType("client.deleted", "client.deleted", N_("An app was deleted."), {"client": "", "by": ""}),
    EventType("delivery.failed", "delivery.failed", N_("Delivery of a message was abandoned."),
              {"kind": "kind of message", "channel": "`mail`, `sms` or `logout`"}),
    EventType("administrator.added", "administrator.added", N_("An account became an administrator."), {"by": ""}),
    EventType("administrator.removed", "administrator.removed", N_("An account is no longer an administrator."),
              {"by": ""}),
    EventType("webhook.disabled", "webhook.disabled", N_("Another endpoint was disabled."),
              {"endpoint": "its ID", "reason": "`gone` (it returned 410), `failing` or `operator`", "by": ""}),
    EventType(TEST, "", N_("Sent by `flask webhooks test`, regardless of the events that the endpoint gets.")),
)  # fmt: skip
"""Every type there is. Add a new one here and in docs/webhooks.md."""

BY_NAME = {each.name: each for each in ALL}
BY_SOURCE = {each.source: each for each in ALL if each.source}

MAX_LENGTH = 255
"""Maximum length of a text in ``data``."""


def matches(pattern: str, name: str) -> bool:
    """Return whether a subscription gets this type. ``session.*`` means every type that begins with ``session.``."""
    if name == TEST:
        return False  # sent on request, to a single endpoint
    return pattern in ("*", name) or (pattern.endswith(".*") and name.startswith(pattern[:-1]))


def check_patterns(patterns: list[str]) -> list[str]:
    """Return subscriptions without duplicates.

    :raises Rejected: ``webhook_event_unknown``, with the one that matches no type; ``webhook_events_missing`` for none
    """
    found = list(dict.fromkeys(patterns))
    if not found:
        raise Rejected("webhook_events_missing", field="events")
    for pattern in found:
        if not any(matches(pattern, each.name) for each in ALL):
            raise Rejected("webhook_event_unknown", field="events", event=pattern[:MAX_LENGTH])
    return found


def select_facts(kind: EventType, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an event that its type lists: short texts, numbers and booleans."""
    chosen = {name: facts[name] for name in kind.fields if facts.get(name) not in (None, "")}
    if "://" in str(chosen.get("client", "")):  # the URL of a metadata document, whose path a stranger chose
        chosen["client"] = urlsplit(chosen["client"]).hostname or ""
    return {name: value for name, value in chosen.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int)) or (isinstance(value, str) and len(value) <= MAX_LENGTH)
