"""Test accounts, created by the packages that own them, with known secrets."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyotp
from flask import Flask


@dataclass(frozen=True)
class Person:
    """A person with an account. ``authenticator`` is the base32 secret of their app, or ""."""

    id: int
    email: str
    phone: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    authenticator: str = field(default="", repr=False)

    def app_code(self, steps: int = 0) -> str:
        """Return their authenticator app's current code, or the one ``steps`` steps of 30 s from now."""
        from app import clock

        left = 30 - clock.unix() % 30
        if steps < 0 and left < 1:  # it would have expired when it is verified
            time.sleep(left)
        return pyotp.TOTP(self.authenticator).at(int(clock.unix()) + 30 * steps)


class People:
    """Creates and commits accounts in an application."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._numbers = itertools.count(1)

    def open(
        self,
        email: str = "",
        *,
        phone: str = "",
        username: str = "",
        password: str = "",
        methods: Sequence[str] | None = None,
        confirmed: bool = True,
        disabled: bool = False,
        second: str = "",
    ) -> Person:
        """Create an account. Without ``methods``, its identities and password determine its sign-in methods.

        :param email: by default a new address, unless a phone or username is given
        :param methods: "authenticator" creates a secret for ``Person.app_code``
        :param second: those methods that are second factors, separated by commas
        """
        email = email or ("" if phone or username else f"person{next(self._numbers)}@example.com")
        has = {"email": email, "sms": phone, "password": password}
        chosen = [name for name, given in has.items() if given] if methods is None else list(methods)
        authenticator = pyotp.random_base32(32) if "authenticator" in chosen else ""
        with self.app.app_context():
            user_id = self._store({"email": email, "phone": phone, "username": username}, confirmed, disabled)
            self._enroll(user_id, chosen, {"authenticator": authenticator, "password": password}, second.split(","))
        return Person(user_id, email, phone, username, password, authenticator)

    def give(
        self, person: Person, kind: str, value: str, *, confirmed: bool = True, primary: bool | None = None
    ) -> None:
        """Add an identity to an account; an additional email address isn't primary."""
        from app.extensions import db
        from app.users import TypedIdentity, User, add_identity

        with self.app.app_context():
            user = db.session.get(User, person.id)
            assert user is not None
            primary = kind != "email" or not person.email if primary is None else primary
            add_identity(user, TypedIdentity(kind, value), confirmed=confirmed, primary=primary)
            db.session.commit()

    def leave(self, person: Person) -> Person:
        """Close an account, to be erased in a week, without notifying anyone."""
        from app.extensions import db
        from app.privacy.deletion import schedule_deletion
        from app.users import User

        with self.app.app_context():
            user = db.session.get(User, person.id)
            assert user is not None
            schedule_deletion(user, quietly=True)
            db.session.commit()
        return person

    def give_codes(self, person: Person) -> list[str]:
        """Add recovery codes to an account and return them. A test process generates only one set: hashing is slow."""
        from app.authenticators import recovery_codes
        from app.extensions import db

        with self.app.app_context():
            recovery_codes.store(person.id, _drawn_codes(), "f" * 32)
            db.session.commit()
        return [drawn.code for drawn in _drawn_codes()]

    def _store(self, identities: dict[str, str], confirmed: bool, disabled: bool) -> int:
        from app import clock
        from app.extensions import db
        from app.users import TypedIdentity, create_user

        typed = [TypedIdentity(kind, value) for kind, value in identities.items() if value]
        user = create_user(*typed, confirmed=confirmed)
        if disabled:
            user.disabled_at = clock.now()
        db.session.commit()
        return user.id

    def _enroll(self, user_id: int, methods: Sequence[str], secrets: dict[str, str], second: Sequence[str]) -> None:
        from app.authenticators.enrollments import enroll
        from app.extensions import db

        for method in methods:
            secret = secrets.get(method) or None
            row = enroll(user_id, method, _hashed(secret) if method == "password" and secret else secret)
            row.is_second = method in second
        db.session.commit()


@lru_cache(maxsize=1)
def _drawn_codes() -> list[Any]:
    from app.authenticators import recovery_codes

    return recovery_codes.generate()


@lru_cache(maxsize=64)
def _hashed(password: str) -> str:
    """Return a hash of ``password``, cached, so that tests don't repeat the slow hashing."""
    from app.authenticators.password import hash_password

    return hash_password(password)
