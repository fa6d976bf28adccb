"""The cookies of a request, whatever other applications have set."""

from __future__ import annotations

import pytest

from app.web.cookies import read_cookies


@pytest.mark.parametrize(
    "header",
    [
        "a b=c; ours=1",
        'a="b; ours=1',
        'a="b; ours=1; c=d"',
        'a="b"c; ours=1',
        "ours=1; a=\xc3\xbc",
        "a=\xff; ours=1",
        "; ;=;a;ours=1;",
        "\tours = 1 ",
        "ours=1; ours=2",
        "ours2=0; xours=0; ours=1",
    ],
)
def test_malformed_cookies_do_not_affect_others(header):
    found = [value for name, value in read_cookies(header) if name == "ours"]
    assert found[0] == "1"


def test_cookie_value_may_contain_equals_signs():
    assert list(read_cookies("a=b=c==; d=")) == [("a", "b=c=="), ("d", "")]
