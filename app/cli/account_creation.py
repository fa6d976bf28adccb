"""Create accounts, one or several hundred per transaction. Existing accounts are left unchanged."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.exc import DataError, IntegrityError

from app import clock, i18n, webhooks
from app.audit import record
from app.authenticators.enrollments import numbered_name
from app.authenticators.password import hash_password
from app.authenticators.totp import UNNAMED
from app.challenges.passcodes import enrolled_context, new_secret
from app.cli.account_drafts import Draft
from app.crypto import secrets
from app.enrollments.methods import method_of
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, keyring
from app.groups import service as groups
from app.groups.service import UnknownGroup
from app.users import Identity, TypedIdentity, User
from app.web.messages import message

ATTEMPTS = 5
"""How often a batch is tried when other processes take its identities at the same time."""

BATCH = 500
"""Accounts per transaction: large enough to be fast, small enough to let sign-ins through in between."""


@dataclass
class Outcome:
    """Result of a batch, by draft number."""

    created: list[int] = field(default_factory=list)
    existing: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    unknown_groups: set[str] = field(default_factory=set)
    created_groups: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class File:
    """What is known about the file that drafts come from.

    :ivar places: location of each draft, by number; defaults to "line N"
    :ivar earlier: identities that occurred earlier in the file, with their location; drafts that repeat one are
        rejected
    """

    places: Mapping[int, str] = field(default_factory=dict)
    earlier: Mapping[TypedIdentity, str] = field(default_factory=dict)

    def place(self, number: int) -> str:
        """Return the location of the draft with this number."""
        return self.places.get(number, f"line {number}")


def open_accounts(
    drafts: Mapping[int, Draft],
    *,
    create_groups: bool = False,
    file: File | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Create an account for each draft and commit. Every account that can be created exists when this returns.

    A draft whose identities all belong to one existing account is left unchanged. If only some of them are taken, it is
    rejected. Lower numbers take precedence.
    :param drafts: up to several hundred, by number
    :param create_groups: create missing groups; otherwise a draft that names one is rejected
    :param file: what is known about the file that they come from
    :param dry_run: report what would happen without writing anything
    """
    hashes: dict[int, str] = {}
    file = file or File()
    for attempt in range(1, ATTEMPTS + 1):
        outcome = _classify(drafts, create_groups, file)
        _hash_passwords(drafts, outcome, hashes)
        created = {number: drafts[number] for number in outcome.created}
        if dry_run:
            outcome.created_groups = _new_groups(created) if create_groups else set()
            db.session.rollback()
            return outcome
        try:
            ids = _insert(created, hashes)
            outcome.created_groups = _join_groups(ids, created, create_groups)
            db.session.commit()
            break
        except (
            IntegrityError,
            UnknownGroup,
            DataError,
        ) as error:  # an address was taken or a group deleted concurrently
            db.session.rollback()
            if attempt == ATTEMPTS or isinstance(error, DataError):
                return _one_by_one(drafts, error, create_groups, file)
    return outcome


def _one_by_one(drafts: Mapping[int, Draft], error: Exception, create_groups: bool, file: File) -> Outcome:
    """Retry a rejected batch in two halves, recursively, so that one bad draft doesn't affect the others."""
    if len(drafts) == 1:
        (number,) = drafts
        return Outcome(rejected={number: f"the database refuses it ({type(error).__name__})"})
    numbers = list(drafts)
    outcome, earlier = Outcome(), dict(file.earlier)
    for half in (numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]):
        some = {number: drafts[number] for number in half}
        done = open_accounts(some, create_groups=create_groups, file=File(file.places, earlier))
        earlier |= {each: file.place(number) for number in done.created for each in drafts[number].identities}
        outcome.created += done.created
        outcome.existing += done.existing
        outcome.rejected |= done.rejected
        outcome.unknown_groups |= done.unknown_groups
        outcome.created_groups |= done.created_groups
    return outcome


def _classify(drafts: Mapping[int, Draft], create_groups: bool, file: File) -> Outcome:
    """Sort drafts into those to create, those that exist, and those that can't be created."""
    outcome = Outcome()
    unknown = groups.unknown_names({name for draft in drafts.values() for name in draft.groups})
    owners = _owners([identity for draft in drafts.values() for identity in draft.identities])
    places = dict(file.earlier)
    for number, draft in drafts.items():
        found = [owners.get(identity) for identity in draft.identities]
        missing = [] if create_groups else [name for name in draft.groups if name in unknown]
        if duplicates := [identity for identity in draft.identities if identity in places]:
            kinds = " and ".join(dict.fromkeys(identity.kind for identity in duplicates))
            outcome.rejected[number] = f"{kinds}: {places[duplicates[0]]} has it too"
            continue
        if not any(found) and missing:
            outcome.unknown_groups.update(missing)
            outcome.rejected[number] = f"groups: there is no group {' or '.join(missing)}"
        elif not any(found):
            outcome.created.append(number)
        elif len(set(found)) == 1:
            outcome.existing.append(number)
        else:
            taken = [identity.kind for identity, owner in zip(draft.identities, found, strict=True) if owner]
            outcome.rejected[number] = f"{' and '.join(dict.fromkeys(taken))}: belongs to an account already"
        if number not in outcome.rejected:
            places.update(dict.fromkeys(draft.identities, file.place(number)))
    return outcome


def _owners(identities: Sequence[TypedIdentity]) -> dict[TypedIdentity, str]:
    """Return the owner of each identity that is already taken."""
    owners: dict[TypedIdentity, str] = {}
    for kind in {identity.kind for identity in identities}:
        values = [identity.value for identity in identities if identity.kind == kind]
        rows = sa.select(Identity.value, Identity.user_id).where(Identity.kind == kind, Identity.value.in_(values))
        owners |= {TypedIdentity(kind, value): f"user {user_id}" for value, user_id in db.session.execute(rows)}
    return owners


def _hash_passwords(drafts: Mapping[int, Draft], outcome: Outcome, hashes: dict[int, str]) -> None:
    """Hash the passwords of the accounts to create on all CPUs, since one takes tens of milliseconds by design."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # a thread has no context of its own

    def hash_one(number: int) -> str | Rejected:
        with app.app_context():
            try:
                names = [identity.value for identity in drafts[number].identities]
                return hash_password(drafts[number].password, names)
            except Rejected as rejection:
                return rejection

    missing = [number for number in outcome.created if drafts[number].password and number not in hashes]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, made in zip(missing, pool.map(hash_one, missing), strict=True):
            if isinstance(made, Rejected):
                outcome.created.remove(number)
                with i18n.in_english():  # like all reasons, which are written to files
                    outcome.rejected[number] = f"password: {message(made.code, **made.facts)}"
            else:
                hashes[number] = made


def _insert(drafts: Mapping[int, Draft], hashes: Mapping[int, str]) -> Sequence[int]:
    """Insert users, identities and methods with one statement each, and record one event; return the user IDs."""
    if not drafts:
        return ()
    now = clock.now()
    users = [
        {
            "name": draft.name or None,
            "created_at": now,
            "confirmed_at": now if draft.confirmed else None,
            "disabled_at": now if draft.disabled else None,
        }
        for draft in drafts.values()
    ]
    returning = sa.insert(User).returning(User.id, sort_by_parameter_order=True)
    ids = db.session.scalars(returning, users).all()
    identities: list[dict[str, object]] = []
    methods: list[dict[str, object]] = []
    for user_id, (number, draft) in zip(ids, drafts.items(), strict=True):
        known = {"user_id": user_id, "created_at": now, "confirmed_at": now if draft.confirmed else None}
        kinds: set[str] = set()
        for identity in draft.identities:
            is_primary = identity.kind not in kinds
            kinds.add(identity.kind)
            identities.append(known | {"kind": identity.kind, "value": identity.value, "is_primary": is_primary})
        methods += _enrolled(user_id, draft, draft.password_hash or hashes.get(number, ""))
    db.session.execute(sa.insert(Identity), identities)
    db.session.execute(sa.insert(Enrollment), methods)
    record("account.created", ids[0] if len(ids) == 1 else None, by="operator", count=len(ids))
    webhooks.accounts_created(ids, by="operator")
    return ids


def _join_groups(ids: Sequence[int], drafts: Mapping[int, Draft], create_groups: bool) -> set[str]:
    """Add new users to their drafts' groups; return the groups that were created.

    :raises UnknownGroup: when a group is missing and ``create_groups`` is off
    """
    names_by_user = {user_id: draft.groups for user_id, draft in zip(ids, drafts.values(), strict=True)}
    made = {name for name in sorted(_new_groups(drafts)) if create_groups and groups.create(name, by="operator")}
    groups.add_members(names_by_user, by="operator")
    return made


def _new_groups(drafts: Mapping[int, Draft]) -> set[str]:
    return groups.unknown_names({name for draft in drafts.values() for name in draft.groups})


def _enrolled(user_id: int, draft: Draft, password_hash: str) -> Iterator[dict[str, object]]:
    """Yield the enrollment rows of a draft's methods, each secret encrypted for its row."""
    for method in draft.methods:
        kind, names = method_of(method), set[str]()
        is_second = method in draft.seconds
        own = {"authenticator": draft.authenticators, "password": (password_hash,)}.get(method)
        for secret in own or (new_secret(),):
            name = numbered_name(UNNAMED, names)
            names.add(name)
            row = Enrollment(id=secrets.row_id(), user_id=user_id, method=method, name="" if name == UNNAMED else name)
            yield {
                "id": row.id, "user_id": user_id, "method": method, "name": row.name, "is_second": is_second,
                "signs_in": False if is_second and not kind.usable_alone_as_second else None, "created_at": clock.now(),
                "secret": keyring.seal(secret.encode(), *enrolled_context(row)),
            }  # fmt: skip
