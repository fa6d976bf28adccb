"""How a try can fail. Reasons are short, and safe to store and log."""

from __future__ import annotations

import socket
import ssl
from datetime import timedelta

LONGEST_TRY = timedelta(minutes=15)
"""No ``send`` takes longer: 5 minutes until a server has the message, 10 for its answer (RFC 5321, section 4.5.3.2).

A lease must last as long, or be renewed while a server thinks.
"""


class Failed(Exception):
    """The message did not leave, or nobody can tell.

    :ivar reason: without address, text or anything that a server said
    :ivar permanent: no later try can end better
    :ivar taken: whether the other side may have the message all the same, so that a repeat may be a copy
    :ivar wait: seconds before which it must not be tried again; None leaves that to the plan
    :ivar remedy: what an operator can do about it, as ``flask doctor`` says it; "" when there is nothing to be done
    """

    def __init__(
        self, reason: str, *, permanent: bool = False, taken: bool = False, wait: float | None = None, remedy: str = ""
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.taken = taken
        self.wait = wait
        self.remedy = remedy


class Postponed(Exception):
    """The channel can't take the message now, and has not: ask again in ``seconds``. This counts as no try.

    :ivar reason: as that of ``Failed``
    """

    def __init__(self, seconds: float, reason: str = "channel rests") -> None:
        super().__init__(f"{reason}, for {seconds:.0f} s")
        self.seconds = seconds
        self.reason = reason


class Interrupted(Exception):
    """This worker stops before the other side had the message; the next one sends it."""


def unreached(whom: str, setting: str, error: Exception) -> Failed:
    """Say why ``whom`` was not reached, in the operator's words; it never heard of the message.

    :param setting: the variable with its URL
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.partition(",")[0]
        remedy = "Use the name that the certificate is for, or name your CA's certificate in SSL_CERT_FILE."
        return Failed(f"{whom}'s certificate not trusted ({why})", remedy=remedy)
    if isinstance(error, ssl.SSLError):
        return Failed(f"{whom} speaks no TLS that we know", remedy=f"Check scheme and port in {setting}.")
    if isinstance(error, socket.gaierror):
        return Failed(
            f"{whom}'s name not found", remedy=f"Check the host in {setting}, and name resolution on this machine."
        )
    remedy = f"Check host and port in {setting}, that the server runs, and that no firewall is in between."
    return Failed(f"{whom} unreachable ({type(error).__name__})", remedy=remedy)
