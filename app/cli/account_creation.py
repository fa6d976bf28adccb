"""Create accounts, one or a file of JSON lines, batch by batch. Interrupted, an import can simply be run again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import orjson
import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.exc import IntegrityError

from app import clock, i18n, webhooks
from app.audit import record
from app.authenticators.password import hash_password
from app.challenges.passcodes import enrolled_context, new_secret
from app.cli.account_drafts import Draft, NotUsable, array_hint, read_draft
from app.crypto import secrets
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, keyring
from app.groups import service as groups
from app.groups.service import UnknownGroup
from app.users import Identity, TypedIdentity, User
from app.web.messages import message

ATTEMPTS = 5
"""How often a batch is looked at anew when other processes take its addresses meanwhile."""

BATCH = 500
"""Accounts to a transaction: large enough to be quick, small enough to let sign-ins through in between."""

LONGEST_LINE = 65536
"""Bytes of a line."""


@dataclass
class Outcome:
    """What became of a batch, by the numbers that the drafts came with."""

    opened: list[int] = field(default_factory=list)
    present: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    unknown_groups: set[str] = field(default_factory=set)
    made_groups: set[str] = field(default_factory=set)


def open_accounts(drafts: Mapping[int, Draft], *, create_groups: bool = False) -> Outcome:
    """Open an account for each draft and commit; all that can be opened are there when this returns.

    A draft whose identities all find one and the same account is present already and left alone.
    One with only some of them taken is refused. Earlier numbers win over later ones.
    :param drafts: some hundreds at most, by number
    :param create_groups: whether groups that are not there are created; else a draft that names one is refused
    """
    hashes: dict[int, str] = {}
    for attempt in range(1, ATTEMPTS + 1):
        outcome = _sift(drafts, create_groups)
        _hash_passwords(drafts, outcome, hashes)
        try:
            opened = {number: drafts[number] for number in outcome.opened}
            ids = _insert(opened, hashes)
            outcome.made_groups = _join_groups(ids, opened, create_groups)
            db.session.commit()
            break
        except (IntegrityError, UnknownGroup):  # somebody took an address or deleted a group just now
            db.session.rollback()
            if attempt == ATTEMPTS:
                raise
    return outcome


def _sift(drafts: Mapping[int, Draft], create_groups: bool) -> Outcome:
    """Tell the drafts to open from those that are there and those that cannot be."""
    outcome = Outcome()
    unknown = groups.unknown_names({name for draft in drafts.values() for name in draft.groups})
    owners = _owners([identity for draft in drafts.values() for identity in draft.identities])
    for number, draft in drafts.items():
        found = [owners.get(identity) for identity in draft.identities]
        missing = [] if create_groups else [name for name in draft.groups if name in unknown]
        if not any(found) and missing:
            outcome.unknown_groups.update(missing)
            outcome.refused[number] = f"groups: there is no group {' or '.join(missing)}"
        elif not any(found):
            owners.update(dict.fromkeys(draft.identities, f"line {number}"))
            outcome.opened.append(number)
        elif len(set(found)) == 1:
            outcome.present.append(number)
        else:
            taken = [identity.kind for identity, owner in zip(draft.identities, found, strict=True) if owner]
            outcome.refused[number] = f"{' and '.join(taken)}: belongs to an account already"
    return outcome


def _owners(identities: Sequence[TypedIdentity]) -> dict[TypedIdentity, str]:
    """Return who has each of ``identities`` that somebody has."""
    owners: dict[TypedIdentity, str] = {}
    for kind in {identity.kind for identity in identities}:
        values = [identity.value for identity in identities if identity.kind == kind]
        rows = sa.select(Identity.value, Identity.user_id).where(Identity.kind == kind, Identity.value.in_(values))
        owners |= {TypedIdentity(kind, value): f"user {user_id}" for value, user_id in db.session.execute(rows)}
    return owners


def _hash_passwords(drafts: Mapping[int, Draft], outcome: Outcome, hashes: dict[int, str]) -> None:
    """Hash the passwords of what is to be opened, on all processors: one takes tens of milliseconds, by design."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # a thread has no context of its own

    def hash_one(number: int) -> str | Rejected:
        with app.app_context():
            try:
                names = [identity.value for identity in drafts[number].identities]
                return hash_password(drafts[number].password, names)
            except Rejected as refusal:
                return refusal

    missing = [number for number in outcome.opened if drafts[number].password and number not in hashes]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, made in zip(missing, pool.map(hash_one, missing), strict=True):
            if isinstance(made, Rejected):
                outcome.opened.remove(number)
                with i18n.in_english():  # as every command is
                    outcome.refused[number] = f"password: {message(made.code, **made.facts)}"
            else:
                hashes[number] = made


def _insert(drafts: Mapping[int, Draft], hashes: Mapping[int, str]) -> Sequence[int]:
    """Insert users, identities and methods, one statement for each of the three, and one event; return the users."""
    if not drafts:
        return ()
    now = clock.now()
    users = [
        {
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
        identities += [known | {"kind": identity.kind, "value": identity.value} for identity in draft.identities]
        methods += _enrolled(user_id, draft, draft.password_hash or hashes.get(number, ""))
    db.session.execute(sa.insert(Identity), identities)
    db.session.execute(sa.insert(Enrollment), methods)
    record("account.created", ids[0] if len(ids) == 1 else None, by="operator", count=len(ids))
    webhooks.accounts_created(ids, by="operator")
    return ids


def _join_groups(ids: Sequence[int], drafts: Mapping[int, Draft], create_groups: bool) -> set[str]:
    """Add new users to the groups of their drafts; return the groups that were created for that.

    :raises UnknownGroup: when one is not there, and is not to be created
    """
    names_by_user = {user_id: draft.groups for user_id, draft in zip(ids, drafts.values(), strict=True)}
    wanted = {name for names in names_by_user.values() for name in names}
    missing = sorted(groups.unknown_names(wanted)) if create_groups else []
    made = {name for name in missing if groups.create(name, by="operator")}
    groups.add_members(names_by_user, by="operator")
    return made


def _enrolled(user_id: int, draft: Draft, password_hash: str) -> Iterator[dict[str, object]]:
    """Yield the rows of a draft's methods, each secret sealed to its row."""
    own = {"authenticator": draft.authenticator, "password": password_hash}
    for method in draft.methods:
        row = Enrollment(id=secrets.row_id(), user_id=user_id, method=method)
        secret = own.get(method) or new_secret()
        sealed = keyring.seal(secret.encode(), *enrolled_context(row))
        yield {"id": row.id, "user_id": user_id, "method": method, "secret": sealed, "created_at": clock.now()}


@dataclass
class Tally:
    """What became of the lines read so far."""

    opened: int = 0
    present: int = 0
    refused: int = 0
    unknown_groups: set[str] = field(default_factory=set)
    made_groups: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return f"{self.opened:,} opened, {self.present:,} there already, {self.refused:,} refused"


def import_lines(
    lines: Iterable[bytes],
    refuse: Callable[[int, bytes, str], None],
    read: Callable[[int], None],
    *,
    create_groups: bool = False,
) -> Tally:
    """Open an account for each line, and return what became of them. Blank lines are passed over.

    :param refuse: told each line that opened none: its number, the line, and why
    :param read: told how many bytes are done with, after each batch
    :param create_groups: whether groups that are not there are created; else a line that names one is refused
    """
    tally = Tally()
    numbered = enumerate(lines, start=1)
    while batch := dict(islice(numbered, BATCH)):
        _import_batch(batch, tally, refuse, create_groups)
        read(sum(map(len, batch.values())))
    return tally


def _import_batch(
    batch: dict[int, bytes], tally: Tally, refuse: Callable[[int, bytes, str], None], create_groups: bool
) -> None:
    drafts: dict[int, Draft] = {}
    reasons: dict[int, str] = {}
    for number, line in batch.items():
        try:
            if line.strip():
                drafts[number] = _parse(line)
        except NotUsable as error:
            reasons[number] = str(error)
    outcome = open_accounts(drafts, create_groups=create_groups)
    reasons |= outcome.refused
    for number in sorted(reasons):
        refuse(number, batch[number], reasons[number])
    tally.opened += len(outcome.opened)
    tally.present += len(outcome.present)
    tally.refused += len(reasons)
    tally.unknown_groups |= outcome.unknown_groups
    tally.made_groups |= outcome.made_groups


def _parse(line: bytes) -> Draft:
    if len(line) > LONGEST_LINE:
        raise NotUsable(f"is longer than {LONGEST_LINE} bytes")
    if hint := array_hint(line.removeprefix(b"\xef\xbb\xbf")):
        raise NotUsable(hint)
    try:
        return read_draft(orjson.loads(line.removeprefix(b"\xef\xbb\xbf")))
    except orjson.JSONDecodeError:
        raise NotUsable("is not JSON") from None
