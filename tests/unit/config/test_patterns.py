"""Which regular expressions in settings are rejected because matching could take hours."""

from __future__ import annotations

import pytest

from config.patterns import repeats_what_varies

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(?:a*)*$",
        "(?P<name>a+){2,}$",
        "(a|a)*$",
        "(?i:a|A)+$",
        "(aa?)+$",
        "((a+)b?)*$",
        "([(]x*)+$",
        r"(\s*,)+",
        "(?:(?=(a+))b)+",
        "(?i)(a+)+",
    ],
)
def test_pattern_with_catastrophic_backtracking_is_detected(pattern):
    assert repeats_what_varies(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r'"status"\s*:\s*"(queued|sent)"',
        "^OK",
        "(queued|sent)?",
        "(?:ab)+",
        "(?:[+*|]x)+",
        r"(\+\*\|\()+",
        r"([a-f\]+*]{2}-)*",
        "(?i)accepted|queued",
        "[]+*)]*(a)",
        "a{2,3}b*",
        "(a+)(b)*",
        "(?#why)x+(?P<q>[\"'])y(?P=q)*",
    ],
)
def test_pattern_without_catastrophic_backtracking_is_accepted(pattern):
    assert not repeats_what_varies(pattern)
