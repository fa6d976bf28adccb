"""Detect whether two kinds of requests get different responses or response times, by diffing and a rank-sum test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt

from app.command_language import N_, gettext

_PIECES = re.compile(rb"([A-Za-z0-9_=+/.-]+)")
_IGNORED = frozenset(("date",))
"""Headers that only contain the time."""

Template = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response.

    :ivar seconds: from the first byte of the request to the last byte of the response
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    @property
    def header_names(self) -> tuple[str, ...]:
        """Names of all headers, sorted."""
        return tuple(sorted({name.lower() for name, _ in self.headers}))

    @property
    def cookie_names(self) -> tuple[str, ...]:
        """Names of all cookies it sets, sorted."""
        set_ = [value.partition("=")[0] for name, value in self.headers if name.lower() == "set-cookie"]
        return tuple(sorted(set_))


def template_of(replies: Sequence[tuple[Reply, str]]) -> Template | None:
    """Return what these responses of one class have in common, with a mask for each piece that differs between them.

    A mask keeps the length of its piece. The requested identity is removed first.
    :param replies: each with its identity; ten are enough to detect what is random
    :return: None when they differ in more than pieces of equal length, so that nothing can be masked
    """
    found = [_pieces(reply, identity) for reply, identity in replies]
    if len({tuple(map(len, pieces)) for pieces in found}) != 1:
        return None
    return tuple(_mask(variants) for variants in zip(*found, strict=True))


def differences(one: Template | None, other: Template | None) -> list[str]:
    """Return the differences between two classes of responses, one per line; empty when they are indistinguishable."""
    if one is None or other is None:
        return [] if one is other else [gettext(LENGTHS)]
    if len(one) != len(other):
        return [gettext("one has {count} pieces, the other {other}", count=len(one), other=len(other))]
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    return [f"{_quoted(a)} / {_quoted(b)}" for a, b in pairs[:5]]


LENGTHS = N_("the answers of one class differ in their lengths, those of the other don't")


def _quoted(piece: bytes) -> str:
    return repr(piece.decode(errors="replace"))


def _pieces(reply: Reply, identity: str) -> list[bytes]:
    lines = [f"{reply.status}"]
    lines += [f"{name.lower()}: {value}" for name, value in sorted(reply.headers) if name.lower() not in _IGNORED]
    text = "\n".join(lines).encode() + b"\n\n" + reply.body
    return _PIECES.split(text.replace(identity.encode(), b"<identity>"))


def _mask(variants: Sequence[bytes]) -> bytes:
    return variants[0] if len(set(variants)) == 1 else b"<%d random>" % len(variants[0])


def mann_whitney_z(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how many standard deviations the ranks of ``one`` are above those expected without a difference.

    Uses the normal approximation without continuity correction, with the variance corrected for ties (Mann and Whitney
    1947; Siegel 1956). Accurate from about 20 values in each. 0.0 when all values are equal or either is empty.
    """
    n, m = len(one), len(other)
    everything = sorted([(value, True) for value in one] + [(value, False) for value in other])
    total = n + m
    ranks_of_one, tied, before = 0.0, 0.0, 0
    for _, group in groupby(everything, key=lambda pair: pair[0]):
        members = [is_one for _, is_one in group]
        size = len(members)
        ranks_of_one += sum(members) * (before + (size + 1) / 2)  # ties get their mean rank
        tied += size**3 - size
        before += size
    if n == 0 or m == 0 or total < 2:
        return 0.0
    variance = n * m / 12 * ((total + 1) - tied / (total * (total - 1)))
    u = ranks_of_one - n * (n + 1) / 2
    return (u - n * m / 2) / sqrt(variance) if variance > 0 else 0.0
