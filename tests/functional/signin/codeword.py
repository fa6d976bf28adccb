"""A toy authenticator: a codeword that the setup page shows and that is entered at sign-in."""

from __future__ import annotations

from app.authenticators.base import Authenticator, EnrollmentAttempt, PasscodeAttempt, VerificationError, VerifiedFactor
from app.challenges.passcodes import enrolled_context
from app.crypto import secrets
from app.enrollments.methods import STRONG
from app.extensions import keyring


def codeword_of(secret: str) -> str:
    """Return the codeword derived from a base32 secret."""
    return f"word-{secret[:10].lower()}"


class Codeword(Authenticator):
    """A codeword."""

    name = "codeword"
    amr = "pwd"
    strength = STRONG
    shows_secret = True
    title, phrase = "Codeword", "your codeword"

    def could_be(self, passcode: str | int) -> bool:
        """As ``Authenticator``."""
        return isinstance(passcode, str) and passcode.startswith("word-")

    def verify(self, attempt: PasscodeAttempt) -> VerifiedFactor | None:
        """As ``Authenticator``."""
        for row in attempt.enrolled:
            if row.method == self.name and attempt.is_allowed:
                secret = keyring.open(row.secret, *enrolled_context(row)).decode()
                if secrets.same(codeword_of(secret), str(attempt.passcode)):
                    return VerifiedFactor(self.name)
        return None

    def verify_enrollment(self, attempt: EnrollmentAttempt) -> tuple[str, int]:
        """As ``Authenticator``."""
        if not secrets.same(codeword_of(attempt.secret), str(attempt.passcode)):
            raise VerificationError
        return attempt.secret, 0
