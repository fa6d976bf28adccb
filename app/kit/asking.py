"""Who asks: what a flow may know of the browser or program on the other side."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asker:
    """The browser or program that sent a request.

    :ivar binding: digest of the secret in its cookie; what it asks for works only there
    :ivar address: as text, shortest form; a network address, never a postal one
    :ivar agent: its User-Agent header, a claim
    :ivar challenge: the challenge token a program without cookies hands back, or ""
    :ivar known: digest of the secret it was given when somebody signed in there, or "" when nobody has
    :ivar keeps_cookies: whether it sent a cookie of ours, and so can be given another
    """

    binding: str
    address: str
    agent: str
    challenge: str = ""
    known: str = ""
    keeps_cookies: bool = False
