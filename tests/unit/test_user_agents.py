"""Common names of browsers, and no harm by a User-Agent header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import user_agents

NAMES = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0": "Firefox on Linux",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0": "Firefox on Ubuntu",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36":
        "Chrome on Windows",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Safari/605.1.15": "Safari on macOS",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36":
        "Chrome on Android",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1": "Safari on iPhone or iPad",
    "curl/8.5.0": "curl",
}  # fmt: skip


@pytest.mark.parametrize(("header", "name"), NAMES.items(), ids=NAMES.values())
def test_label_names_browser_and_system(header, name):
    assert user_agents.label(header) == name


HOSTILE = [
    "Your account is locked. Unlock it at http://evil.example/unlock/1 CFNetwork",
    "http://evil.example/1 CFNetwork/1492 Darwin/23",
    "evil.example/1.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)",
    "Mozilla/5.0 (compatible; evil.example-bot/1.0; +http://evil.example)",
    "evil.example spider/1 okhttp/4 evil.example Linux",
    "Mozilla/5.0 (Windows NT 10.0) ArcGIS Runtime evil.example/1.2",
    "\x1b[2Jevil.example/5 Firefox/x",
    "Firefox on evil.example",
]


@pytest.mark.parametrize("header", HOSTILE)
def test_hostile_header_text_is_not_in_the_label(header):
    assert user_agents.label(header) in user_agents.LABELS
    assert "evil" not in user_agents.label(header)


@given(st.text() | st.from_regex(r"[ -~]{0,40}(/[0-9.]{1,4}|bot|CFNetwork|Spider|Chrome/1)[ -~]{0,40}", fullmatch=True))
def test_label_is_always_from_the_fixed_list(header):
    assert user_agents.label(header) in user_agents.LABELS


def test_label_of_a_label_is_unchanged():
    assert {name: user_agents.label(name) for name in user_agents.LABELS} == {name: name for name in user_agents.LABELS}


@pytest.mark.parametrize("header", [None, "", "x", "Mozilla/5.0", "\x00", "\ud800", "<script>alert(1)</script>"])
def test_uninformative_header_is_an_unknown_browser(header):
    assert user_agents.label(header) == "Unknown browser"


@given(st.text())
def test_label_never_raises(header):
    assert user_agents.label(header)


def test_long_header_is_truncated():
    assert user_agents.label("x" * user_agents.MAX_LENGTH + " Firefox/128.0") == "Unknown browser"
