"""The Mann-Whitney rank-sum test: does one kind of request take longer than another?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import sqrt


def mann_whitney_z(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how many standard deviations the ranks of ``one`` lie above those expected if nothing differed.

    By the normal approximation, without a continuity correction, with the variance corrected for ties (Mann and
    Whitney 1947; Siegel 1956). Good from about 20 values in each. 0.0 where all values are equal or none is given.
    """
    n, m = len(one), len(other)
    everything = sorted([(value, True) for value in one] + [(value, False) for value in other])
    total = n + m
    ranks_of_one, tied, before = 0.0, 0.0, 0
    for _, group in groupby(everything, key=lambda pair: pair[0]):
        members = [is_one for _, is_one in group]
        size = len(members)
        ranks_of_one += sum(members) * (before + (size + 1) / 2)  # each of the tied gets their mean rank
        tied += size**3 - size
        before += size
    if n == 0 or m == 0 or total < 2:
        return 0.0
    variance = n * m / 12 * ((total + 1) - tied / (total * (total - 1)))
    u = ranks_of_one - n * (n + 1) / 2
    return (u - n * m / 2) / sqrt(variance) if variance > 0 else 0.0
