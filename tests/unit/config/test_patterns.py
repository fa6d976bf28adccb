"""Which regular expressions of the operator's are refused because matching could take hours."""

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
def test_repeated_group_that_varies_is_found(pattern):
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
def test_what_takes_no_more_than_its_length_allows_is_accepted(pattern):
    assert not repeats_what_varies(pattern)
