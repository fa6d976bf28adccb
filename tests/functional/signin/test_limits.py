"""Limits by IP address: a flood is rejected, and logged once per window."""

from __future__ import annotations

import time

import pytest

from app.audit import Event
from tests.sinks import link_in

pytestmark = pytest.mark.settings(starts_per_address=2, failures_per_address=2)

SEND = "/us-signin/send-code"


def flood(wire, path: str = SEND) -> None:
    """Ask until it is refused, and then ten times more."""
    answers = [wire.post(path, identity="ada@example.com", chosen_method="email", passcode="1") for _ in range(13)]
    assert [answer.status for answer in answers[2:]] == [429] * 11


def told(rows) -> list[tuple[str, str]]:
    """Return the events of full windows as (limit, address)."""
    return [(event.facts["limit"], event.address) for event in rows(Event, name="limit.hit")]


def test_rate_limit_hit_is_audited_once_per_window(wire, rows):
    flood(wire)
    assert told(rows) == [("starts", "127.0.0.1")]


@pytest.mark.one_database
def test_rate_limit_hits_are_audited_per_limit_and_ip_address(wire, rows):
    for browser in (wire, wire.elsewhere(address="192.0.2.7")):
        flood(browser)
        flood(browser, "/us-signin")
    assert told(rows) == [
        ("starts", "127.0.0.1"),
        ("failures", "127.0.0.1"),
        ("starts", "192.0.2.7"),
        ("failures", "192.0.2.7"),
    ]


@pytest.mark.one_database
def test_rate_limit_hit_is_audited_again_in_the_next_window(wire, rows, monkeypatch):
    flood(wire)
    there = time.time
    monkeypatch.setattr(time, "time", lambda: there() + 601)  # the counters go by the machine's own clock
    flood(wire)
    assert told(rows) == [("starts", "127.0.0.1")] * 2


def test_link_repeatedly_opened_in_other_browsers_is_audited_once_per_ip_address(wire, people, mail_to, rows):
    link = link_of(wire, people, mail_to)
    for address in ("192.0.2.7", "192.0.2.8"):
        for _ in range(20):
            wire.elsewhere(address=address).get(link)
    assert [event.address for event in rows(Event, name="link.opened_unbound")] == ["192.0.2.7", "192.0.2.8"]


def test_repeated_opening_of_a_used_or_expired_link_is_audited_once_per_reason(wire, people, mail_to, rows, clock):
    link = link_of(wire, people, mail_to)
    wire.get(link)
    for _ in range(20):
        wire.elsewhere(address="192.0.2.7").get(link)
    clock.shift(24 * 3600 - 60)
    for _ in range(20):
        wire.elsewhere(address="192.0.2.7").get(link)
    assert [event.facts["reason"] for event in rows(Event, name="sign_in.failed")] == ["spent", "expired"]


def link_of(wire, people, mail_to) -> str:
    """Return a link that was mailed to Ada."""
    people.open(email="ada@example.com")
    wire.post(SEND, identity="ada@example.com", chosen_method="email")
    return link_in(mail_to("ada@example.com"), "/us-verify-link").removeprefix("http://localhost")
