"""TOTP (RFC 6238): verification of an authenticator app, each 30-second step accepted once."""

from __future__ import annotations

import pyotp
import sqlalchemy as sa
from pyotp.exceptions import OTPVerificationError

from app import clock
from app.challenges.passcodes import enrolled_context, tidy
from app.enrollments.models import Enrollment
from app.extensions import changed, keyring, settings

DIGITS = 6
DRIFT = 1
"""Steps of 30 s that a slow or fast clock may be off, each way (RFC 6238, section 5.2)."""


CLOCK_OFF = 20
"""Steps, each way, by which a clock can be off and the code is still known as the app's: ten minutes."""


def proven_step(secret: str, passcode: str | int, last_step: int) -> int | None:
    """Return the 30-second step a passcode proves now, or None if it proves none.

    Never a step up to ``last_step``: a passcode works once (RFC 6238, section 5.2).
    :param secret: base32, unsealed
    """
    typed = tidy(passcode, DIGITS)
    if typed is None:
        return None
    try:
        totp = pyotp.TOTP(secret, digits=DIGITS)
        step = totp.verify_and_get_timecode(typed, for_time=int(clock.unix()), valid_window=DRIFT)
    except OTPVerificationError:
        return None
    return step if step > last_step else None


def is_of_another_time(secret: str, passcode: str | int) -> bool:
    """Say whether a passcode is the app's of a few minutes ago, or ahead: a wrong clock shows it.

    For who has just been shown the key. Nobody else is told.
    """
    typed = tidy(passcode, DIGITS)
    return typed is not None and pyotp.TOTP(secret, digits=DIGITS).verify(
        typed, for_time=int(clock.unix()), valid_window=CLOCK_OFF
    )


def accept(enrolled: Enrollment, passcode: str | int) -> bool:
    """Accept ``passcode`` for this authenticator, once over all requests and replicas."""
    secret = keyring.open(enrolled.secret, *enrolled_context(enrolled)).decode()
    step = proven_step(secret, passcode, enrolled.last_step)
    if step is None:
        return False
    newer = (Enrollment.id == enrolled.id, Enrollment.last_step < step)
    burn = sa.update(Enrollment).where(*newer).values(last_step=step, last_used_at=clock.now())
    return changed(burn) == 1


def has_stopped(enrolled: Enrollment) -> bool:
    """Say whether so many codes of this authenticator were wrong in a row that it waits for another factor.

    They were wrong as a second step; but what has stopped there is no first proof either (NIST SP 800-63B 3.2.2).
    """
    return settings.limits and enrolled.misses >= settings.failures_in_a_row


def otpauth_uri(secret: str, account: str) -> str:
    """Return the ``otpauth://`` address that an app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=settings.totp_issuer)


def grouped(secret: str) -> str:
    """Return a base32 key in groups of four joined by dashes, for typing."""
    return "-".join(secret[i : i + 4] for i in range(0, len(secret), 4))
