"""Set the primary address, remove addresses, set the username; undo changes by a link sent to old addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app import throttling
from app.audit import record, signals
from app.authenticators import enrollments
from app.authenticators.presenters import requester_of
from app.authenticators.registry import configurable_methods
from app.challenges import service as challenges
from app.challenges.notice_links import open_undo
from app.client import ClientContext
from app.enrollments.methods import active_methods, method_of, methods_reaching
from app.errors import Rejected
from app.extensions import db, settings
from app.i18n import N_
from app.login.credential_changes import check_removal, lock_credentials, revoke_other_sessions
from app.login.rollback import restore_addresses, restore_email_codes, roll_back
from app.notifications import notices
from app.notifications.notices import Sentence, sentence
from app.sessions import api_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.store import revoke_all_sessions
from app.users import (
    AddressChange,
    TypedIdentity,
    User,
    add_identity,
    all_identities_of,
    emails_of,
    identifiers,
    identities_of,
    lock_account,
    names,
    primary_email,
    remove_identities,
    remove_identity,
)
from app.users import make_primary as set_primary
from app.users import set_name as store_name
from app.users.accounts import find_change, store_address_change

AFTER = {
    "address.change_confirmed": N_("Your email {old} was replaced by {new}."),
    "address.added": N_("The email {new} was added."),
    "address.removed": N_("The email {old} was removed."),
    "address.made_primary": N_("Your primary email is no longer {before}."),
}


def make_primary(user: User, session: AuthSession, email: str, client: ClientContext) -> None:
    """Make one of the user's verified addresses the primary one.

    :raises Rejected: ``not_yours`` on ``email``; ``too_many_requests``
    """
    throttling.take("starts", client.ip_address)  # each sends emails, so a loop must be limited
    lock_credentials(user, session)
    before, value = primary_email(user.id), _own_address(user, "email", email)
    if value == before:
        return
    if value not in emails_of(user.id):
        raise Rejected("not_yours", field="email")
    set_primary(user.id, value)
    record("address.made_primary", user.id)
    notify_of_change(user, session, AFTER["address.made_primary"], "", "", before, client)


def remove_email(user: User, session: AuthSession, email: str, client: ClientContext) -> None:
    """Remove one of the user's addresses; if it was the primary one, the oldest remaining one becomes primary.

    :raises Rejected: on ``email`` ``not_yours``; ``address_needed`` if it is the last one and codes are sent to it;
        ``last_address`` if there would be no way left to reach the owner
    """
    lock_credentials(user, session)
    value, before = _own_address(user, "email", email), primary_email(user.id)
    if emails_of(user.id) == [value]:
        if set(methods_reaching("email")) & set(active_methods(enrollments.enrolled_of(user.id))):
            raise Rejected("address_needed", field="email")
        _require_other_address(user, "phone", "email")
    remove_identity(user.id, "email", value)
    if value == before:
        set_primary(user.id, primary_email(user.id))
    challenges.end_open(user.id)
    record("address.removed", user.id)
    notify_of_change(user, session, AFTER["address.removed"], value, "", before, client)


def remove_phone(user: User, session: AuthSession, client: ClientContext) -> None:
    """Remove the user's phone number with the sign-in methods that use it. It gets a last text message.

    :raises Rejected: on ``phone`` ``not_yours``, ``last_address``, ``last_method``, ``last_second_factor``
    """
    lock_credentials(user, session)
    number = identities_of(user.id).get("phone")
    if number is None:
        raise Rejected("not_yours", field="phone")
    _require_other_address(user, "email", "phone")
    methods = [name for name in configurable_methods() if method_of(name).reaches == "phone"]
    check_removal(user, methods, "phone")
    removed = [name for name in methods if enrollments.remove(user.id, name)]
    remove_identities(user, "phone")
    revoke_other_sessions(user, session, client)
    record("phone.removed", user.id)
    for name in removed:
        record("factor.removed", user.id, method=name)
    if removed:
        signals.send(signals.us_profile_changed, user=user, methods=removed, delete=True)
    what = sentence("The phone number {phone} was removed.", phone=identifiers.mask("phone", number))
    notices.notify(user.id, what, client, also=[number], session_id=session.session_id)


def set_name(user: User, typed: str) -> None:
    """Set the user's display name; an empty text removes it.

    :raises Rejected: on ``name`` ``name_invalid`` or ``invalid_input_length``; ``too_many_requests``
    """
    try:
        name = names.read(typed)
    except names.NameTooLong:
        raise Rejected("invalid_input_length", field="name", length=names.MAX_LENGTH) from None
    except names.InvalidName:
        raise Rejected("name_invalid", field="name") from None
    if name == (user.name or ""):
        return
    throttling.take_of_account("names", user.id)  # each is an event, and posted to webhooks
    store_name(user, name)
    record("name.set" if name else "name.removed", user.id)


def set_username(user: User, session: AuthSession, text: str, client: ClientContext) -> str:
    """Set or replace the user's username; return it.

    A username isn't secret and can't be verified, so the response says if it is taken; attempts are limited by network.
    :raises Rejected: on ``username`` ``username_invalid``, ``identity_already_associated``; ``too_many_requests``
    """
    if "username" not in settings.identity_attributes:
        raise Rejected("usernames_off", field="username")
    throttling.take("starts", client.ip_address)
    try:
        name = identifiers.new_username(text)
    except identifiers.InvalidIdentifier:
        raise Rejected("username_invalid", field="username") from None
    lock_credentials(user, session)
    before = identities_of(user.id).get("username")
    if name == before:
        return name
    _replace_username(user, name)
    _notify_username_change(user, session, "username.set", sentence("Your username was set."), client)
    return name


def remove_username(user: User, session: AuthSession, client: ClientContext) -> None:
    """Remove the username.

    :raises Rejected: on ``username`` ``not_yours``; ``last_address`` if it is the account's only identity
    """
    lock_credentials(user, session)
    if "username" not in identities_of(user.id):
        raise Rejected("not_yours", field="username")
    if len(all_identities_of(user.id)) == 1:
        raise Rejected("last_address", field="username")
    remove_identities(user, "username")
    _notify_username_change(user, session, "username.removed", sentence("Your username was removed."), client)


def _replace_username(user: User, name: str) -> None:
    with db.session.begin_nested():  # if the name was taken meanwhile, the old one stays
        remove_identities(user, "username")
        add_identity(user, TypedIdentity("username", name), confirmed=True)


def _notify_username_change(
    user: User, session: AuthSession, event: str, what: Sentence, client: ClientContext
) -> None:
    revoke_other_sessions(user, session, client)
    record(event, user.id)
    notices.notify(user.id, what, client, session_id=session.session_id)


def _require_other_address(user: User, other: str, field: str) -> None:
    """Check that another verified address is left to reach the account's owner."""
    if not any(row.kind == other and row.confirmed_at is not None for row in all_identities_of(user.id)):
        raise Rejected("last_address", field=field)


def _own_address(user: User, kind: str, typed: str) -> str:
    """Return the canonical form of one of the user's addresses, however it was typed.

    :raises Rejected: ``not_yours`` if it isn't one
    """
    try:
        value = identifiers.email(typed)
    except identifiers.InvalidIdentifier:
        raise Rejected("not_yours", field=kind) from None
    if not any(row.kind == kind and row.value == value for row in all_identities_of(user.id)):
        raise Rejected("not_yours", field=kind)
    return value


def notify_of_change(
    user: User, session: AuthSession, text: str, old: str, new: str, before: str, client: ClientContext
) -> None:
    """Store the change so that it can be undone, notify every address, and end the user's other sessions.

    Each email shows its own recipient in full, and other addresses masked, so that the owner recognizes them but others
    can't write to them.
    """
    change = store_address_change(user.id, old, new, before, session.session_id, client)
    revoke_other_sessions(user, session, client)
    notice = _ChangeNotice(text, old, new, before)
    own = {address: notice.text_for(address) for address in (old, new, before) if address}
    also, what = [old] if old else [], notice.text_for("")
    notices.notify(user.id, what, client, also=also, session_id=session.session_id, change=change, own=own)


@dataclass(frozen=True, slots=True)
class _ChangeNotice:
    """A change to an account's addresses, with placeholders for the three addresses in its text."""

    text: str
    old: str
    new: str
    before: str

    def text_for(self, address: str) -> Sentence:
        """Return the text for the email to ``address``, which is shown in full; "" for any other mailbox."""
        shown: dict[str, Any] = {
            name: value if value == address else identifiers.mask("email", value) if value else ""
            for name, value in (("old", self.old), ("new", self.new), ("before", self.before))
        }
        if shown["old"] and shown["old"] == shown["new"]:
            shown["new"] = sentence("another email, which also shortens to {email}", email=shown["new"])
        return sentence(self.text, **shown)


@dataclass(frozen=True, slots=True)
class UndoableChange:
    """An undoable change as pages show it: who made it (None if no longer known), and whether it was undone."""

    asked: dict[str, Any] | None
    undone: bool


def undoable_change(token: str, *, strict: bool = True) -> UndoableChange:
    """Return the change that ``token`` identifies, without changing anything.

    :param strict: False to accept any token, as one for a change that is no longer known
    :raises Rejected: ``change_undo_invalid`` (404) if it isn't ours or is too old
    """
    if not strict and open_undo(token) is None:
        return UndoableChange(None, False)
    found = _found(token)
    return UndoableChange(requester_of(found), found.undone_at is not None)


def undo_change(token: str) -> UndoableChange:
    """Restore the addresses that the account had before the change, and revoke everything since.

    This also undoes later changes to the addresses, and removes what the session that made the change has set up. All
    sessions end, no browser stays known, and API tokens and sent codes become invalid. Signs no one in. Idempotent.
    :raises Rejected: as ``undoable_change``; ``undo_taken``, ``last_address``
    """
    found = _found(token)
    lock_account(found.user_id)
    db.session.refresh(found)
    user = db.session.get(User, found.user_id)
    if found.undone_at is not None or user is None:
        return UndoableChange(requester_of(found), True)
    restore_addresses(user, found, found.agent, strict=True)
    restore_email_codes(user, found.session_id)
    roll_back(user.id, [found.session_id], found.agent)
    challenges.end_open(user.id)
    revoke_all_sessions(user.id)
    revoke_browsers(user.id)
    api_tokens.revoke_all(user.id, reason="denied")
    return UndoableChange(requester_of(found), True)


def _found(token: str) -> AddressChange:
    its_id = open_undo(token)
    found = find_change(its_id) if its_id else None
    if found is None:
        raise Rejected("change_undo_invalid", status=404)
    return found
