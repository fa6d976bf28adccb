"""The rank-sum test, compared with values computed by hand and by other software."""

from __future__ import annotations

import random

import pytest

from app.cli.selftest import mann_whitney_z

ABSENT = [13, 12, 12, 10, 10, 10, 10, 9, 8, 8, 7, 7, 7, 7, 7, 6]
PRESENT = [17, 16, 15, 15, 15, 14, 14, 14, 13, 13, 13, 12, 12, 12, 12, 11, 11, 10, 10, 10, 8, 8, 6]


@pytest.mark.parametrize(
    ("one", "other", "z"),
    [
        ([1, 2, 3], [4, 5, 6], -1.9640),  # U = 0, variance 5.25
        ([4, 5, 6], [1, 2, 3], 1.9640),
        ([1, 2, 2], [2, 3, 3], -1.6499),  # U = 1, variance 4.5 for the ties
        ([1, 2, 3], [1, 2, 3], 0.0),
        ([5, 5, 5], [5, 5], 0.0),
        ([], [1, 2], 0.0),
        (PRESENT, ABSENT, 3.45),  # Siegel 1956, page 125
    ],
)
def test_z_score_matches_known_values(one, other, z):
    assert mann_whitney_z(one, other) == pytest.approx(z, abs=0.005)


def test_small_shift_is_detected_in_ten_thousand_values_and_chance_is_not():
    draw = random.Random(7)
    one, same = ([draw.gauss(0, 1) for _ in range(10_000)] for _ in range(2))
    later = [draw.gauss(0.1, 1) for _ in range(10_000)]
    assert abs(mann_whitney_z(one, same)) < 4
    assert mann_whitney_z(later, one) > 4
